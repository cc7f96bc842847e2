//! The modules of a crate, parsed, without what only tests see.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use syn::parse::{Parse, ParseStream};
use syn::{Attribute, Item, ItemStatic, Meta, Token, Type, parse_quote};

/// The name of the crate, and names of modules.
pub(crate) type Names = Vec<String>;

/// The items of each module.
pub(crate) struct Sources {
    pub(crate) name: String,
    pub(crate) modules: BTreeMap<Names, Vec<Item>>,
    out_dir: Option<PathBuf>,
}

pub(crate) fn read(name: &str, folder: &Path, out_dir: Option<&Path>) -> Sources {
    let mut sources = Sources {
        name: name.replace('-', "_"),
        modules: BTreeMap::new(),
        out_dir: out_dir.map(Path::to_owned),
    };
    let root = vec![sources.name.clone()];
    sources.add_file(&folder.join("lib.rs"), folder, root);
    sources
}

impl Sources {
    /// Adds the module in `file`; those below it are in `folder`.
    fn add_file(&mut self, file: &Path, folder: &Path, module: Names) {
        let items = parse(file);
        let beside = file.parent().unwrap().to_owned();
        self.add(items, &beside, folder, module);
    }

    fn add(&mut self, items: Vec<Item>, beside: &Path, folder: &Path, module: Names) {
        let mut kept = Vec::new();
        for item in items {
            match item {
                Item::Mod(mut declaration) if !is_test(&declaration.attrs) => {
                    let name = declaration.ident.to_string();
                    let child = [&module[..], std::slice::from_ref(&name)].concat();
                    let below = folder.join(&name);
                    match declaration.content.take() {
                        Some((_, items)) => self.add(items, &below, &below, child),
                        None => match path_attribute(&declaration.attrs) {
                            Some(path) => {
                                let file = beside.join(path);
                                let folder = file.parent().unwrap().to_owned();
                                self.add_file(&file, &folder, child);
                            }
                            None => {
                                let file = folder.join(format!("{name}.rs"));
                                let file = if file.exists() {
                                    file
                                } else {
                                    below.join("mod.rs")
                                };
                                self.add_file(&file, &below, child);
                            }
                        },
                    }
                    kept.push(Item::Mod(declaration));
                }
                Item::Macro(call)
                    if call.mac.path.segments.last().unwrap().ident == "lazy_static" =>
                {
                    let Statics(statics) = call.mac.parse_body().unwrap();
                    kept.extend(statics.into_iter().map(Item::Static));
                }
                Item::Macro(call) if call.mac.path.is_ident("include") => {
                    let text = call.mac.tokens.to_string();
                    assert!(
                        text.contains("OUT_DIR") && text.contains("/mod.rs"),
                        "{text}"
                    );
                    let out_dir = self.out_dir.clone().expect("the build script has a folder");
                    let items = parse(&out_dir.join("mod.rs"));
                    self.add(items, &out_dir, &out_dir, module.clone());
                }
                Item::Fn(function) if is_test(&function.attrs) => {}
                Item::Impl(block) if is_test(&block.attrs) => {}
                Item::Mod(_) => {}
                item => kept.push(item),
            }
        }
        self.modules.entry(module).or_default().extend(kept);
    }
}

fn parse(file: &Path) -> Vec<Item> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text);
    parsed
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()))
        .items
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) => list.path.is_ident("cfg") && list.tokens.to_string() == "test",
        _ => false,
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes
        .iter()
        .find_map(|attribute| match &attribute.meta {
            Meta::NameValue(pair) if pair.path.is_ident("path") => match &pair.value {
                syn::Expr::Lit(syn::ExprLit {
                    lit: syn::Lit::Str(path),
                    ..
                }) => Some(path.value()),
                _ => None,
            },
            _ => None,
        })
}

/// The body of `lazy_static!`.
struct Statics(Vec<ItemStatic>);

impl Parse for Statics {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut statics = Vec::new();
        while !input.is_empty() {
            let attrs = input.call(Attribute::parse_outer)?;
            let vis: syn::Visibility = input.parse()?;
            input.parse::<Token![static]>()?;
            input.parse::<Token![ref]>()?;
            let name: syn::Ident = input.parse()?;
            input.parse::<Token![:]>()?;
            let ty: Type = input.parse()?;
            input.parse::<Token![=]>()?;
            input.parse::<syn::Expr>()?;
            input.parse::<Token![;]>()?;
            statics.push(parse_quote!(#(#attrs)* #vis static #name: lazy_static::Lazy<#ty> = (); ));
        }
        Ok(Self(statics))
    }
}
