"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const open = (customer, opened) => {
    customer.querySelector(".opener").setAttribute("aria-expanded", String(opened));
    customer.querySelector(".detail").hidden = !opened;
  };

  const customers = all(".queue tbody[data-owner]");
  for (const customer of customers) {
    customer.words = customer.textContent.toLowerCase();
    open(customer, false);
    const opener = customer.querySelector(".opener");
    customer.querySelector(".row").addEventListener("click", (event) => {
      if (getSelection().isCollapsed || opener.contains(event.target)) {
        open(customer, opener.getAttribute("aria-expanded") !== "true");
      }
    });
  }

  const toolbar = document.querySelector(".toolbar");
  if (!toolbar) return;
  toolbar.hidden = false;
  const search = document.getElementById("search");
  const filters = all("[data-filter]", toolbar);
  const expand = document.getElementById("expand");

  const apply = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const queue of all(".queue")) {
      let found = 0;
      for (const customer of all("tbody[data-owner]", queue)) {
        const fits = filters.every(({ value, dataset: { filter } }) =>
          value === "" || value === (filter === "queue" ? queue : customer).dataset[filter]);
        customer.hidden = !(fits && words.every((word) => customer.words.includes(word)));
        found += customer.hidden ? 0 : 1;
      }
      shown += found;
      const chosen = filters.find(({ dataset }) => dataset.filter === "queue").value;
      queue.hidden = chosen !== "" && chosen !== queue.dataset.queue;
      const table = queue.querySelector("table");
      if (table) {
        table.hidden = found === 0;
        queue.querySelector(".none-found").hidden = found > 0;
      }
    }
    document.getElementById("shown").textContent =
      `${shown} of ${customers.length} customers shown`;
  };

  const sort = (button) => {
    const header = button.closest("th");
    const table = header.closest("table");
    const rising = header.getAttribute("aria-sort") !== "ascending";
    for (const other of all("th", header.parentNode)) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const key = (customer) => {
      const cell = customer.rows[0].cells[header.cellIndex];
      if (button.dataset.kind === "text") return cell.textContent;
      return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    };
    const place = (customer) => Number(customer.rows[0].cells[0].dataset.value);
    const compare = (left, right) => {
      const [a, b] = [key(left), key(right)];
      // What has no value comes last either way; equals keep the order of the ranking.
      if (a === null || b === null) return (a === null) - (b === null) || place(left) - place(right);
      const order = typeof a === "string" ? collator.compare(a, b) : a - b;
      return (rising ? order : -order) || place(left) - place(right);
    };
    table.append(...all("tbody[data-owner]", table).sort(compare));
  };

  toolbar.addEventListener("submit", (event) => event.preventDefault());
  toolbar.addEventListener("input", apply);
  document.getElementById("clear").addEventListener("click", () => {
    toolbar.reset();
    apply();
    search.focus();
  });
  expand.addEventListener("click", () => {
    const opened = expand.getAttribute("aria-pressed") !== "true";
    expand.setAttribute("aria-pressed", String(opened));
    expand.textContent = opened ? "Close all" : "Open all";
    for (const customer of customers) open(customer, opened);
  });
  for (const button of all(".sort")) button.addEventListener("click", () => sort(button));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });
  apply();
})();
