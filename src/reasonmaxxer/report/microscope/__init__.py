"""Pages, tables and figures of the microscope."""
