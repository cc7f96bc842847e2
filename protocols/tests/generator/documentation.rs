//! The documentation of the crate is that of the `.proto` files, so it must be there.

use std::fs;
use std::path::{Path, PathBuf};

use crate::generator::INPUTS;
use crate::generator::comments::{Comments, Kind, read};

fn files() -> Vec<(PathBuf, Comments)> {
    let protos = Path::new(env!("CARGO_MANIFEST_DIR")).join("protos");
    let paths = INPUTS.iter().map(|input| protos.join(input.path));
    paths
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            let comments =
                read(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            (path, comments)
        })
        .collect()
}

#[test]
fn every_declaration_in_the_protos_has_a_comment() {
    let mut missing = Vec::new();
    for (path, comments) in files() {
        for declaration in comments.declarations {
            // The extensions are constants of a private module.
            if declaration.comment.is_empty() && declaration.kind != Kind::Extension {
                let (file, line) = (path.display(), declaration.line);
                missing.push(format!("{file}:{line}: {}", declaration.path));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "{} without comment:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

#[test]
fn every_proto_says_what_it_is() {
    for (path, comments) in files() {
        assert!(
            !comments.file.is_empty(),
            "{}: no comment above `syntax`",
            path.display()
        );
    }
}

#[test]
fn comments_belong_to_every_declaration_of_the_contract() {
    let contract = include_str!("../data/contract.tsv").lines().skip(1);
    let mut expected: Vec<String> = contract
        .map(|row| row.split('\t').collect::<Vec<_>>())
        .filter(|row| !["file", "extension"].contains(&row[2]))
        .map(|row| format!("{}.{}", row[3], row[4]))
        .collect();
    let declarations = files()
        .into_iter()
        .flat_map(|(_, comments)| comments.declarations);
    let mut actual: Vec<String> = declarations
        .filter(|declaration| declaration.kind != Kind::Extension)
        .map(|declaration| declaration.path)
        .collect();
    expected.sort();
    actual.sort();
    assert_eq!(actual, expected);
}
