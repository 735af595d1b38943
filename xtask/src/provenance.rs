//! Where a run was made, for the report that is written of it.

use std::path::Path;

use meshproof::report::Provenance;

/// This machine, with what it gives of its kernel, and the commit of the scenarios below `root`.
pub(crate) fn provenance(root: &Path) -> std::io::Result<Provenance> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(Provenance::here(root).with_kernel_capabilities()))
}
