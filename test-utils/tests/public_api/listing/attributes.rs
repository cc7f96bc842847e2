//! What is said of an item beside its name: attributes and visibility.

use syn::{Attribute, Item, Meta, Visibility};

use super::text::text;

pub(crate) fn is_visible(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

pub(crate) fn is_public(item: &Item) -> bool {
    is_visible(match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::TraitAlias(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        _ => return false,
    })
}

pub(crate) fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        _ => &[],
    }
}
/// The attributes that users notice.
pub(crate) fn kept(attributes: &[Attribute]) -> String {
    let mut kept = String::new();
    for attribute in attributes {
        let path = attribute.path();
        let is_hidden = text(&attribute.meta) == "doc(hidden)";
        if path.is_ident("must_use") {
            kept.push_str("#[must_use] ");
        } else if path.is_ident("deprecated") {
            kept.push_str("#[deprecated] ");
        } else if is_hidden
            || ["cfg", "non_exhaustive", "repr", "bitmask"]
                .iter()
                .any(|name| path.is_ident(name))
        {
            kept.push_str(&format!("{} ", text(attribute)));
        }
    }
    kept
}

/// The derived traits, with the condition under which they are.
pub(crate) fn derives(attributes: &[Attribute]) -> Vec<String> {
    let mut traits = Vec::new();
    for attribute in attributes {
        let Meta::List(list) = &attribute.meta else {
            continue;
        };
        let tokens = text(&list.tokens);
        if list.path.is_ident("derive") {
            for name in tokens.split(", ") {
                match name {
                    "thiserror::Error" => traits.extend(["Display", "Error"].map(str::to_owned)),
                    name => traits.push(short(name)),
                }
            }
        } else if list.path.is_ident("cfg_attr")
            && let Some((condition, derived)) = tokens.split_once(", derive(")
        {
            let derived = derived.split(')').next().unwrap_or_default();
            traits.extend(
                derived
                    .split(", ")
                    .map(|name| format!("(if {condition}) {name}")),
            );
        }
    }
    traits
}

pub(crate) fn is_exported(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("macro_export"))
}

/// Traits of the standard library by their last name, so that it makes no difference whether they
/// are derived.
pub(crate) fn short(name: &str) -> String {
    let (path, arguments) = name.split_at(name.find('<').unwrap_or(name.len()));
    let is_std = ["std::", "core::", "::std::", "::core::"]
        .iter()
        .any(|start| path.starts_with(start));
    match path.rsplit("::").next() {
        Some(last) if is_std => format!("{last}{arguments}"),
        _ => name.to_owned(),
    }
}
