//! Objects in: manifests of a folder, later a live cluster or a bundle.
