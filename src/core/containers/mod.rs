//! The plain data structures of the core. They know no rule.
//!
//! | file | what it is |
//! |---|---|
//! | `slab` | values named by small numbers, which are used again |
//! | `ordered` | a map whose keys can be walked in order, from any place |
//! | `list` | a list whose links are beside its values |
//! | `table` | values by source and group, in order |
//! | `registry` | values behind handles that go stale |
//! | `steps` | tests: counts what the containers do |

#![forbid(unsafe_code)]

pub(crate) mod list;
pub(crate) mod ordered;
pub(crate) mod registry;
pub(crate) mod slab;
pub(crate) mod steps;
pub(crate) mod table;
