//! Where each target is: its sentinel compared with the source, and its content with the commit that the sentinel names.
//!
//! Invariant: nothing is changed anywhere, neither on a target nor in the checkout.
pub const TODO: () = ();
