"use strict";
(() => {
  const all = (selector, within = document) => Array.from(within.querySelectorAll(selector));
  const page = document.getElementById("page");
  const contents = new Map(all("template").map((item) =>
    [item.dataset.language, { title: item.dataset.title, body: item.content }]));
  const original = document.createDocumentFragment();
  original.append(...Array.from(page.childNodes, (node) => node.cloneNode(true)));
  contents.set(document.documentElement.lang, { title: document.title, body: original });
  // What the reader has chosen, which outlasts a change of language.
  const state = { search: "", filters: {}, newOnly: false, open: new Set(), sort: {} };

  const open = (customer, opened) => {
    const opener = customer.querySelector(".opener");
    opener.setAttribute("aria-expanded", String(opened));
    customer.querySelector(".detail").hidden = !opened;
    state.open[opened ? "add" : "delete"](opener.getAttribute("aria-controls"));
  };

  const sorted = (table, column, rising) => {
    const header = table.tHead.rows[0].cells[column];
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", rising ? "ascending" : "descending");
    const collator = new Intl.Collator(document.documentElement.lang, { numeric: true, sensitivity: "base" });
    const key = (customer) => {
      const cell = customer.rows[0].cells[column];
      if (header.firstElementChild.dataset.kind === "text") return cell.textContent;
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

  const apply = () => {
    const words = state.search.toLowerCase().split(/\s+/).filter(Boolean);
    let [shown, total] = [0, 0];
    for (const queue of all(".queue")) {
      let found = 0;
      for (const customer of all("tbody[data-owner]", queue)) {
        const data = { ...customer.dataset, queue: queue.dataset.queue };
        const fits = Object.entries(state.filters).every(([name, value]) => !value || value === data[name]);
        const wanted = !state.newOnly || "new" in customer.dataset;
        customer.hidden = !(fits && wanted && words.every((word) => customer.words.includes(word)));
        found += customer.hidden ? 0 : 1;
        total += 1;
      }
      shown += found;
      queue.hidden = Boolean(state.filters.queue) && state.filters.queue !== queue.dataset.queue;
      const table = queue.querySelector("table");
      if (table) {
        table.hidden = found === 0;
        queue.querySelector(".none-found").hidden = found > 0;
      }
    }
    const status = document.getElementById("shown");
    status.textContent = status.dataset.text.replace("{shown}", shown).replace("{total}", total);
  };

  const wireToolbar = (toolbar, customers) => {
    toolbar.hidden = false;
    const search = document.getElementById("search");
    const newOnly = document.getElementById("new-only");
    const expand = document.getElementById("expand");
    const filters = all("[data-filter]", toolbar);
    const restore = () => {
      search.value = state.search;
      for (const filter of filters) filter.value = state.filters[filter.dataset.filter] || "";
      if (newOnly) newOnly.checked = state.newOnly;
      apply();
    };
    toolbar.addEventListener("submit", (event) => event.preventDefault());
    toolbar.addEventListener("input", () => {
      state.search = search.value;
      for (const filter of filters) state.filters[filter.dataset.filter] = filter.value;
      state.newOnly = Boolean(newOnly && newOnly.checked);
      apply();
    });
    document.getElementById("clear").addEventListener("click", () => {
      Object.assign(state, { search: "", filters: {}, newOnly: false });
      restore();
      search.focus();
    });
    expand.addEventListener("click", () => {
      const opened = expand.getAttribute("aria-pressed") !== "true";
      expand.setAttribute("aria-pressed", String(opened));
      expand.textContent = opened ? expand.dataset.close : expand.dataset.open;
      for (const customer of customers) open(customer, opened);
    });
    restore();
  };

  const start = () => {
    const chooser = document.getElementById("language");
    chooser.closest(".language").hidden = contents.size < 2;
    chooser.addEventListener("change", () => show(chooser.value, true));
    const customers = all("tbody[data-owner]");
    for (const customer of customers) {
      const opener = customer.querySelector(".opener");
      customer.words = customer.textContent.toLowerCase();
      open(customer, state.open.has(opener.getAttribute("aria-controls")));
      customer.querySelector(".row").addEventListener("click", (event) => {
        if (getSelection().isCollapsed || opener.contains(event.target)) {
          open(customer, opener.getAttribute("aria-expanded") !== "true");
        }
      });
    }
    for (const button of all(".sort")) {
      button.addEventListener("click", () => {
        const [header, queue] = [button.closest("th"), button.closest(".queue").dataset.queue];
        state.sort[queue] = [header.cellIndex, header.getAttribute("aria-sort") !== "ascending"];
        sorted(button.closest("table"), ...state.sort[queue]);
      });
    }
    for (const [queue, order] of Object.entries(state.sort)) {
      sorted(document.querySelector(`[data-queue="${queue}"] table`), ...order);
    }
    const toolbar = document.querySelector(".toolbar");
    if (toolbar) wireToolbar(toolbar, customers);
  };

  // A page opened from disk may be refused its storage; the choice is then asked for again.
  const remembered = (language) => {
    try {
      if (language) localStorage.setItem("language", language);
      return localStorage.getItem("language");
    } catch {
      return null;
    }
  };

  const show = (language, byHand) => {
    page.replaceChildren(contents.get(language).body.cloneNode(true));
    document.title = contents.get(language).title;
    document.documentElement.lang = language;
    start();
    if (byHand) {
      remembered(language);
      document.getElementById("language").focus();
    }
  };

  document.addEventListener("keydown", (event) => {
    const search = document.getElementById("search");
    if (search && event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      search.focus();
    }
  });

  const wished = [remembered(), ...navigator.languages.map((tag) => tag.slice(0, 2))];
  const language = wished.find((code) => contents.has(code)) || document.documentElement.lang;
  if (language === document.documentElement.lang) start();
  else show(language, false);
})();
