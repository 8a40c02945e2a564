"""What issue 5 asks of styles, as far as the corpus allows; docs/style.md says what the figures are."""
