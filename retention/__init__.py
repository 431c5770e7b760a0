"""What the retention team gets: ranking, reasons in words, actions, the weekly list, the page."""
