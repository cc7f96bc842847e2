//! Signatures in which every path is one that users can write.

use std::collections::BTreeMap;

use quote::format_ident;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, FnArg, Pat, PathArguments, PathSegment, Signature};

use super::names::Scopes;
use super::source::Names;
use super::text::text;

/// The head of a function that users know as `path`.
pub(crate) fn header(signature: &Signature, path: &str) -> String {
    let mut signature = signature.clone();
    signature.ident = format_ident!("__name");
    for input in &mut signature.inputs {
        match input {
            FnArg::Receiver(receiver) => {
                receiver.attrs.clear();
                receiver.mutability = None;
            }
            FnArg::Typed(argument) => {
                argument.attrs.clear();
                if let Pat::Ident(name) = &mut *argument.pat {
                    name.mutability = None;
                }
            }
        }
    }
    text(&signature).replacen("__name", path, 1)
}

/// Replaces paths by those that users know.
pub(crate) struct Rewriter<'a> {
    pub(crate) scopes: &'a Scopes,
    pub(crate) public: &'a BTreeMap<Names, Names>,
    pub(crate) module: &'a [String],
}

impl VisitMut for Rewriter<'_> {
    fn visit_path_mut(&mut self, path: &mut syn::Path) {
        visit_mut::visit_path_mut(self, path);
        let names: Names = path
            .segments
            .iter()
            .map(|segment| segment.ident.to_string())
            .collect();
        let has_inner_arguments = path
            .segments
            .iter()
            .rev()
            .skip(1)
            .any(|segment| !segment.arguments.is_none());
        if path.leading_colon.is_some() || has_inner_arguments {
            return;
        }
        let Some(found) = self.scopes.resolve(self.module, &names) else {
            return;
        };
        let arguments = match path.segments.last_mut() {
            Some(last) => std::mem::replace(&mut last.arguments, PathArguments::None),
            None => return,
        };
        path.segments = self
            .known(found)
            .iter()
            .map(|name| PathSegment::from(format_ident!("{}", name)))
            .collect();
        if let Some(last) = path.segments.last_mut() {
            last.arguments = arguments;
        }
    }

    fn visit_type_path_mut(&mut self, path: &mut syn::TypePath) {
        // The parts of `<T as Trait>::Item` count its names.
        if path.qself.is_none() {
            visit_mut::visit_type_path_mut(self, path);
        }
    }

    /// What code does is no part of a signature.
    fn visit_block_mut(&mut self, _: &mut Block) {}

    fn visit_expr_mut(&mut self, _: &mut Expr) {}

    fn visit_attribute_mut(&mut self, _: &mut syn::Attribute) {}

    fn visit_vis_restricted_mut(&mut self, _: &mut syn::VisRestricted) {}
}

impl Rewriter<'_> {
    fn known(&self, path: Names) -> Names {
        for length in (1..=path.len()).rev() {
            if let Some(place) = self.public.get(&path[..length]) {
                return [&place[..], &path[length..]].concat();
            }
        }
        path
    }
}
