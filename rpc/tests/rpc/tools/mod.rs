//! What the tests of this folder share: requests, parsed pages, schemas.

pub(crate) mod described;
pub(crate) mod html;
pub(crate) mod schema;
pub(crate) mod web;
