//! The scenario format, its loading with diagnostics, running its phases, and the verdict.
