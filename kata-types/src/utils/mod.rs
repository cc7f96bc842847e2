//! Types that the public modules name through aliases.

pub(crate) mod u32_set;
