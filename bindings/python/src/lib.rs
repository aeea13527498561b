//! The native half of the Python package `cmm`; its public half is in `python/cmm`.

mod devices;
mod errors;
mod layer;
mod model;
mod work;

/// The contents of `cmm._native`; `_native.pyi` declares them for type checkers.
#[pyo3::pymodule]
mod _native {
    #[pymodule_export]
    use super::devices::adapters;
    #[pymodule_export]
    use super::layer::Layer;
    #[pymodule_export]
    use super::model::Model;
}
