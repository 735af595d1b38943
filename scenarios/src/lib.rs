//! The scenario catalogue: one YAML file per scenario, and the libtest-mimic suite in `tests/`.
