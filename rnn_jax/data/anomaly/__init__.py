"""Series with anomalies: tables and datasets → which rows are normal → scaled windows to train on, series to score."""
