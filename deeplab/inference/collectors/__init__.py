"""What tiles answer, put together over their seams. One collector for each kind of answer."""
