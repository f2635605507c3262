"""Figures of a range of days and the page that shows them: what `report` is made of."""
