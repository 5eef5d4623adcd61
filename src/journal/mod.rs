//! Journal: being built.
