"""One week of schooling in one command: export, train layer 2, gate, deploy or report."""
