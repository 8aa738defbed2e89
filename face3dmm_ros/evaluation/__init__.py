"""Parameters against the truth: metrics, datasets, bags, reports."""
