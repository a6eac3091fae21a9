"""Tests of the Prometheus and Grafana half."""
