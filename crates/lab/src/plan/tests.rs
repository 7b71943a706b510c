//! Plans of small inputs, as tables.
