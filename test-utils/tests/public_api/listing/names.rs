//! What a name means in a module.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Item, UseTree};

use super::source::{Names, Sources};

/// Ends the search among globs that import each other.
const MAX_DEPTH: usize = 16;

/// What the modules of a crate define and import.
pub(crate) struct Scopes(BTreeMap<Names, Scope>);

#[derive(Default)]
struct Scope {
    definitions: BTreeSet<String>,
    imports: BTreeMap<String, Names>,
    globs: Vec<Names>,
}

/// One name of a `use` declaration.
pub(crate) struct Import {
    pub(crate) path: Names,
    /// `None` is a glob.
    pub(crate) name: Option<String>,
}

impl Scopes {
    pub(crate) fn new(sources: &Sources) -> Self {
        let scopes = sources.modules.iter().map(|(module, items)| {
            let mut scope = Scope::default();
            for item in items {
                if let Item::Use(declaration) = item {
                    for import in imports(&declaration.tree) {
                        match import.name {
                            Some(name) => drop(scope.imports.insert(name, import.path)),
                            None => scope.globs.push(import.path),
                        }
                    }
                }
                scope.definitions.extend(name_of(item));
            }
            (module.clone(), scope)
        });
        Self(scopes.collect())
    }

    pub(crate) fn is_module(&self, path: &[String]) -> bool {
        self.0.contains_key(path)
    }

    /// Where the thing that `path` means in `module` is defined: in this crate, or as far as it is
    /// known, in another one. `None` if the first name is none of this module.
    pub(crate) fn resolve(&self, module: &[String], path: &[String]) -> Option<Names> {
        self.find(module, path, 0)
    }

    fn find(&self, module: &[String], path: &[String], depth: usize) -> Option<Names> {
        if depth > MAX_DEPTH {
            return None;
        }
        let (first, mut rest) = path.split_first()?;
        let mut found = match first.as_str() {
            "crate" => module[..1].to_vec(),
            "self" => module.to_vec(),
            "super" => {
                let mut parent = module[..module.len() - 1].to_vec();
                while rest.first().is_some_and(|name| name == "super") {
                    parent.pop();
                    rest = &rest[1..];
                }
                parent
            }
            name => self.lookup(module, name, depth)?,
        };
        for name in rest {
            let inside = self
                .is_module(&found)
                .then(|| self.lookup(&found, name, depth))
                .flatten();
            found = inside.unwrap_or_else(|| [&found[..], std::slice::from_ref(name)].concat());
        }
        Some(found)
    }

    fn lookup(&self, module: &[String], name: &str, depth: usize) -> Option<Names> {
        let scope = self.0.get(module)?;
        if scope.definitions.contains(name) {
            return Some([module, &[name.to_owned()]].concat());
        }
        if let Some(path) = scope.imports.get(name) {
            // `use lazy_static::lazy_static` and the like name another crate.
            let is_other = path[0] == name;
            let found = if is_other {
                None
            } else {
                self.find(module, path, depth + 1)
            };
            return Some(found.unwrap_or_else(|| path.clone()));
        }
        scope.globs.iter().find_map(|path| {
            let target = self.find(module, path, depth + 1)?;
            self.is_module(&target)
                .then(|| self.lookup(&target, name, depth + 1))
                .flatten()
        })
    }
}

/// The name that `item` defines, if it defines one that paths can have.
pub(crate) fn name_of(item: &Item) -> Option<String> {
    let name = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Mod(item) => &item.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::TraitAlias(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        _ => return None,
    };
    Some(name.to_string())
}

/// The names of a `use` declaration.
pub(crate) fn imports(tree: &UseTree) -> Vec<Import> {
    let mut found = Vec::new();
    collect(tree, &mut Vec::new(), &mut found);
    found
}

fn collect(tree: &UseTree, path: &mut Names, found: &mut Vec<Import>) {
    let depth = path.len();
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            collect(&part.tree, path, found);
        }
        UseTree::Name(leaf) => add(&leaf.ident.to_string(), None, path, found),
        UseTree::Rename(leaf) => {
            add(
                &leaf.ident.to_string(),
                Some(leaf.rename.to_string()),
                path,
                found,
            );
        }
        UseTree::Glob(_) => found.push(Import {
            path: path.clone(),
            name: None,
        }),
        UseTree::Group(group) => group
            .items
            .iter()
            .for_each(|tree| collect(tree, path, found)),
    }
    path.truncate(depth);
}

fn add(name: &str, rename: Option<String>, path: &mut Names, found: &mut Vec<Import>) {
    // `use a::{self}` imports `a`.
    if name != "self" {
        path.push(name.to_owned());
    }
    let name = rename.or_else(|| path.last().cloned());
    if name.as_deref() != Some("_") {
        found.push(Import {
            path: path.clone(),
            name,
        });
    }
}
