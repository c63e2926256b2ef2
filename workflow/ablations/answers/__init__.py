"""From finished runs to statistics, table, interpretation, figures and pages."""
