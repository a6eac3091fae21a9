"""The HTTP side: it validates, predicts, and hands observations to the monitor. It knows no statistics."""
