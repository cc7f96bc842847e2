//! From the items of a crate to one line for each that its users can name.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit_mut::VisitMut;
use syn::{Fields, Generics, ImplItem, Item, TraitItem, Visibility};

use super::attributes::{attributes, derives, is_exported, is_public, is_visible, kept, short};
use super::macros::{matchers, parts};
use super::names::{Scopes, imports, name_of};
use super::signature::{Rewriter, header};
use super::source::{Names, Sources};
use super::text::text;

/// One line: first by the path of what it is about.
type Lines = BTreeSet<(String, String)>;

pub(crate) fn list(sources: &Sources) -> Vec<String> {
    let mut listing = Listing {
        sources,
        scopes: Scopes::new(sources),
        public: BTreeMap::new(),
        places: BTreeSet::new(),
        known: BTreeSet::new(),
        lines: Lines::new(),
    };
    let root = vec![sources.name.clone()];
    listing.walk(&root, &root);
    listing.known = listing
        .public
        .values()
        .map(|place| place.join("::"))
        .collect();
    for (definition, place) in listing.places.clone() {
        listing.item(&definition, &place);
    }
    for (module, items) in &sources.modules {
        for item in items {
            listing.loose(module, item);
        }
    }
    listing.lines.into_iter().map(|(_, line)| line).collect()
}

struct Listing<'a> {
    sources: &'a Sources,
    scopes: Scopes,
    /// The path by which users know what is defined here: the shortest.
    public: BTreeMap<Names, Names>,
    /// All of them: definition and path.
    places: BTreeSet<(Names, Names)>,
    /// The paths of `public`, as text.
    known: BTreeSet<String>,
    lines: Lines,
}

impl Listing<'_> {
    /// Finds what can be named in the module `definition`, which users know as `place`.
    fn walk(&mut self, definition: &[String], place: &[String]) {
        if !self.add_place(definition, place) {
            return;
        }
        let sources = self.sources;
        for item in &sources.modules[definition] {
            if let Item::Use(declaration) = item {
                if matches!(declaration.vis, Visibility::Public(_)) {
                    for import in imports(&declaration.tree) {
                        self.reexport(definition, place, &import.path, import.name.as_deref());
                    }
                }
                continue;
            }
            if let (Some(name), true) = (name_of(item), is_public(item)) {
                let inner = |path: &[String]| [path, std::slice::from_ref(&name)].concat();
                self.enter(&inner(definition), &inner(place));
            }
        }
    }

    fn enter(&mut self, definition: &[String], place: &[String]) {
        if self.scopes.is_module(definition) {
            self.walk(definition, place);
        } else {
            self.add_place(definition, place);
        }
    }

    fn add_place(&mut self, definition: &[String], place: &[String]) -> bool {
        let known = self
            .public
            .entry(definition.to_vec())
            .or_insert_with(|| place.to_vec());
        if (place.len(), place) < (known.len(), &known[..]) {
            *known = place.to_vec();
        }
        self.places.insert((definition.to_vec(), place.to_vec()))
    }

    fn reexport(
        &mut self,
        module: &[String],
        place: &[String],
        path: &[String],
        name: Option<&str>,
    ) {
        let target = self.scopes.resolve(module, path);
        let own = target.filter(|target| target[0] == self.sources.name);
        let known = own.filter(|own| self.scopes.is_module(own) || self.find(own).is_some());
        match (known, name) {
            (Some(own), Some(name)) => self.enter(&own, &[place, &[name.to_owned()]].concat()),
            (Some(own), None) if self.scopes.is_module(&own) => self.walk_into(&own, place),
            (_, name) => {
                let from = path.join("::");
                let new = format!("{}::{}", place.join("::"), name.unwrap_or("*"));
                self.lines
                    .insert((new.clone(), format!("pub use {from} as {new}")));
            }
        }
    }

    /// A glob: what is in the module `own` is in `place` as well.
    fn walk_into(&mut self, own: &[String], place: &[String]) {
        let sources = self.sources;
        for item in &sources.modules[own] {
            match item {
                Item::Use(declaration) if matches!(declaration.vis, Visibility::Public(_)) => {
                    for import in imports(&declaration.tree) {
                        self.reexport(own, place, &import.path, import.name.as_deref());
                    }
                }
                _ => {
                    if let (Some(name), true) = (name_of(item), is_public(item)) {
                        let name = [name];
                        self.enter(&[own, &name].concat(), &[place, &name].concat());
                    }
                }
            }
        }
    }

    fn find(&self, definition: &[String]) -> Option<&Item> {
        let (name, module) = definition.split_last()?;
        let items = self.sources.modules.get(module)?;
        items
            .iter()
            .find(|item| name_of(item).as_deref() == Some(name))
    }

    /// Lists the item that is defined as `definition` and known as `place`.
    fn item(&mut self, definition: &[String], place: &[String]) {
        let path = place.join("::");
        let Some((_, module)) = definition.split_last() else {
            return;
        };
        let items = self.sources.modules.get(module).into_iter().flatten();
        // Several: a function and a type can have the same name, and `cfg` can choose one.
        for item in items.filter(|item| name_of(item).as_ref() == definition.last()) {
            let mut item = item.clone();
            Rewriter {
                scopes: &self.scopes,
                public: &self.public,
                module,
            }
            .visit_item_mut(&mut item);
            let attributes = kept(attributes(&item));
            let derives = derives(super::attributes::attributes(&item));
            let mut add = |inner: &str, line: String| {
                self.lines.insert((format!("{path}{inner}"), line));
            };
            for derive in derives {
                add(" impl", format!("impl {derive} for {path}"));
            }
            match &item {
                Item::Const(item) => {
                    let ty = text(&item.ty);
                    let value = literal(&item.expr);
                    add("", format!("{attributes}pub const {path}: {ty}{value}"));
                }
                Item::Static(item) => {
                    add(
                        "",
                        format!("{attributes}pub static {path}: {}", text(&item.ty)),
                    );
                }
                Item::Fn(item) => add("", format!("{attributes}pub {}", header(&item.sig, &path))),
                Item::Mod(_) => add("", format!("{attributes}pub mod {path}")),
                Item::Type(item) => {
                    let generics = generics(&item.generics);
                    let ty = text(&item.ty);
                    add("", format!("{attributes}pub type {path}{generics} = {ty}"));
                }
                Item::Struct(item) => {
                    let generics = generics(&item.generics);
                    let hidden = if fields(&item.fields).any(|(_, field)| !is_visible(&field.vis)) {
                        " { .. }"
                    } else if matches!(item.fields, Fields::Unit) {
                        ";"
                    } else {
                        ""
                    };
                    add(
                        "",
                        format!("{attributes}pub struct {path}{generics}{hidden}"),
                    );
                    for (name, field) in fields(&item.fields).filter(|(_, f)| is_visible(&f.vis)) {
                        let attributes = kept(&field.attrs);
                        let ty = text(&field.ty);
                        add(
                            &format!("::{name}"),
                            format!("{attributes}pub {path}::{name}: {ty}"),
                        );
                    }
                }
                Item::Union(item) => {
                    add(
                        "",
                        format!("{attributes}pub union {path}{}", generics(&item.generics)),
                    );
                }
                Item::Enum(item) => {
                    add(
                        "",
                        format!("{attributes}pub enum {path}{}", generics(&item.generics)),
                    );
                    for variant in &item.variants {
                        let mut shape = variant.clone();
                        shape.attrs.clear();
                        for field in &mut shape.fields {
                            field.attrs.clear();
                        }
                        let attributes = kept(&variant.attrs);
                        let shape = text(&shape);
                        add(
                            &format!("::{}", variant.ident),
                            format!("{attributes}{path}::{shape}"),
                        );
                    }
                }
                Item::Trait(item) => {
                    let unsafety = item.unsafety.map_or("", |_| "unsafe ");
                    let supertraits = match &item.supertraits {
                        bounds if bounds.is_empty() => String::new(),
                        bounds => format!(": {}", text(bounds)),
                    };
                    let generics = generics(&item.generics);
                    add(
                        "",
                        format!("{attributes}pub {unsafety}trait {path}{generics}{supertraits}"),
                    );
                    for inner in &item.items {
                        if let Some((name, line)) = trait_item(inner, &path) {
                            add(&format!("::{name}"), line);
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Lists what belongs to no module: implementations, exported macros, calls of macros.
    fn loose(&mut self, module: &[String], item: &Item) {
        let krate = &self.sources.name;
        match item {
            Item::Macro(item) => match &item.ident {
                Some(name) => {
                    if is_exported(&item.attrs) {
                        let path = format!("{krate}::{name}");
                        for matcher in matchers(&item.mac) {
                            let line = format!("macro {path}!{matcher}");
                            self.lines.insert((path.clone(), line));
                        }
                    }
                }
                None if item.mac.path.is_ident("thread_local") => {}
                None => {
                    let name = text(&item.mac.path);
                    if !self.may_define(&name) {
                        return;
                    }
                    for part in parts(&item.mac) {
                        self.lines.insert((
                            format!("{krate} macro"),
                            format!("{krate} calls {name}!({part})"),
                        ));
                    }
                }
            },
            Item::Impl(block) => {
                let mut block = block.clone();
                Rewriter {
                    scopes: &self.scopes,
                    public: &self.public,
                    module,
                }
                .visit_item_impl_mut(&mut block);
                self.implementation(&block);
            }
            _ => {}
        }
    }

    /// Whether a call of the macro `name` can write something that users see.
    fn may_define(&self, name: &str) -> bool {
        let mut items = self.sources.modules.values().flatten();
        let definition = items.find_map(|item| match item {
            Item::Macro(item) => item
                .ident
                .as_ref()
                .filter(|ident| *ident == name)
                .map(|_| &item.mac),
            _ => None,
        });
        definition.is_none_or(|mac| {
            let text = text(mac);
            ["pub ", "impl", "macro_export"]
                .iter()
                .any(|word| text.contains(word))
        })
    }

    fn implementation(&mut self, block: &syn::ItemImpl) {
        let krate = format!("{}::", self.sources.name);
        let is_own = |path: &str| path.starts_with(&krate);
        let ty = text(&block.self_ty);
        let path = bare(&block.self_ty);
        let attributes = kept(&block.attrs);
        let Some((trait_path, _)) = &block.trait_ else {
            if !self.is_known(&path) {
                return;
            }
            for inner in &block.items {
                let line = match inner {
                    ImplItem::Fn(item) if is_visible(&item.vis) => {
                        let place = format!("{ty}::{}", item.sig.ident);
                        let attributes = format!("{attributes}{}", kept(&item.attrs));
                        let bounds = bounds(&block.generics);
                        (
                            &item.sig.ident,
                            format!("{attributes}pub {}{bounds}", header(&item.sig, &place)),
                        )
                    }
                    ImplItem::Const(item) if is_visible(&item.vis) => {
                        let value = literal(&item.expr);
                        let attributes = kept(&item.attrs);
                        let line = format!(
                            "{attributes}pub const {ty}::{}: {}{value}",
                            item.ident,
                            text(&item.ty)
                        );
                        (&item.ident, line)
                    }
                    _ => continue,
                };
                self.lines.insert((format!("{path}::{}", line.0), line.1));
            }
            return;
        };
        let name = text(trait_path);
        let arguments = name
            .split('<')
            .skip(1)
            .any(|part| is_own(part) && self.is_known(part.trim_end_matches('>')));
        let is_hidden = is_own(&path) && !self.is_known(&path);
        let concerns = is_own(&path) || is_own(&name) || arguments;
        if is_hidden
            || !concerns
            || (is_own(&name) && !self.is_known(name.split('<').next().unwrap_or("")))
        {
            return;
        }
        let generics = generics(&block.generics);
        let name = short(&name);
        self.lines.insert((
            format!("{path} impl"),
            format!("{attributes}impl{generics} {name} for {ty}"),
        ));
        for inner in &block.items {
            if let ImplItem::Type(item) = inner {
                let line = format!("type <{ty} as {name}>::{} = {}", item.ident, text(&item.ty));
                self.lines.insert((format!("{path} impl {name}"), line));
            }
        }
    }

    fn is_known(&self, path: &str) -> bool {
        self.known.contains(path)
    }
}

fn trait_item(item: &TraitItem, path: &str) -> Option<(String, String)> {
    Some(match item {
        TraitItem::Fn(item) => {
            let attributes = kept(&item.attrs);
            let name = item.sig.ident.to_string();
            let provided = item.default.as_ref().map_or("", |_| " { .. }");
            let header = header(&item.sig, &format!("{path}::{name}"));
            (name, format!("{attributes}{header}{provided}"))
        }
        TraitItem::Type(item) => {
            let bounds = text(&item.bounds);
            let colon = if bounds.is_empty() { "" } else { ": " };
            (
                item.ident.to_string(),
                format!("type {path}::{}{colon}{bounds}", item.ident),
            )
        }
        TraitItem::Const(item) => {
            let provided = item.default.as_ref().map_or("", |_| " = ..");
            let ty = text(&item.ty);
            (
                item.ident.to_string(),
                format!("const {path}::{}: {ty}{provided}", item.ident),
            )
        }
        _ => return None,
    })
}

/// The fields with their names, or numbers.
fn fields(fields: &Fields) -> impl Iterator<Item = (String, &syn::Field)> {
    fields.iter().enumerate().map(|(index, field)| {
        let name = field
            .ident
            .as_ref()
            .map_or_else(|| index.to_string(), ToString::to_string);
        (name, field)
    })
}

fn generics(generics: &Generics) -> String {
    text(generics) + &bounds(generics)
}

fn bounds(generics: &Generics) -> String {
    match &generics.where_clause {
        Some(clause) => format!(" {}", text(clause)),
        None => String::new(),
    }
}

/// A constant that is one literal is as much a promise as its type.
fn literal(value: &syn::Expr) -> String {
    match value {
        syn::Expr::Lit(literal) => format!(" = {}", text(literal)),
        syn::Expr::Unary(negative) if matches!(*negative.expr, syn::Expr::Lit(_)) => {
            format!(" = {}", text(negative))
        }
        _ => String::new(),
    }
}

/// The path of a type, without references and arguments.
fn bare(ty: &syn::Type) -> String {
    match ty {
        syn::Type::Path(path) => {
            let names: Vec<String> = path
                .path
                .segments
                .iter()
                .map(|s| s.ident.to_string())
                .collect();
            names.join("::")
        }
        syn::Type::Reference(reference) => bare(&reference.elem),
        other => text(other),
    }
}
