//! The declarations that this crate was compiled from, compared row by row with
//! `tests/data/contract.tsv`. Nothing may be renumbered, retyped, renamed, removed or added without
//! a change of that file: the other side of the wire may be of another version.
//!
//! The columns: file, package, kind, enclosing declaration, name, number, type, label, JSON name if
//! it is not the default one, options that matter on the wire or to users.

use std::collections::{BTreeMap, BTreeSet};

use protobuf::descriptor::field_descriptor_proto::{Label, Type};
use protobuf::descriptor::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
    MethodDescriptorProto, ServiceDescriptorProto,
};
use protobuf::reflect::FileDescriptor;

const CONTRACT: &str = include_str!("../data/contract.tsv");

/// The file of every message module, and `gogo.proto`, which only `api.proto` imports.
pub(crate) fn files() -> BTreeMap<String, FileDescriptor> {
    let mut files: BTreeMap<String, FileDescriptor> = BTreeMap::new();
    let mut add = |file: &FileDescriptor| {
        files.insert(file.proto().name().to_owned(), file.clone());
    };
    for file in [
        protocols::agent::file_descriptor(),
        protocols::api::file_descriptor(),
        protocols::confidential_data_hub::file_descriptor(),
        protocols::csi::file_descriptor(),
        protocols::empty::file_descriptor(),
        protocols::health::file_descriptor(),
        protocols::oci::file_descriptor(),
        protocols::remote::file_descriptor(),
        protocols::runtimeoptions::file_descriptor(),
        protocols::types::file_descriptor(),
    ] {
        add(file);
    }
    for dependency in protocols::api::file_descriptor().deps() {
        add(dependency);
    }
    files
}

#[test]
fn declarations_are_those_of_the_contract() {
    let expected: BTreeSet<String> = CONTRACT.lines().skip(1).map(str::to_owned).collect();
    let mut actual = BTreeSet::new();
    for file in files().values() {
        let mut rows = Rows {
            file: file.proto(),
            rows: &mut actual,
        };
        rows.file();
    }
    let missing: Vec<_> = expected.difference(&actual).collect();
    let extra: Vec<_> = actual.difference(&expected).collect();
    assert!(
        missing.is_empty() && extra.is_empty(),
        "only in tests/data/contract.tsv: {missing:#?}\nonly in protos/: {extra:#?}"
    );
}

#[test]
fn contract_has_every_row_once() {
    let rows: Vec<&str> = CONTRACT.lines().skip(1).collect();
    let distinct: BTreeSet<&str> = rows.iter().copied().collect();
    assert_eq!(rows.len(), distinct.len());
    let count = |kind: &str| {
        rows.iter()
            .filter(|row| row.split('\t').nth(2) == Some(kind))
            .count()
    };
    let counts = [
        ("file", 11),
        ("message", 283),
        ("field", 819),
        ("oneof", 1),
        ("enum", 14),
        ("enum_value", 39),
        ("service", 9),
        ("method", 86),
        ("extension", 76),
    ];
    for (kind, expected) in counts {
        assert_eq!(count(kind), expected, "{kind}");
    }
}

/// The JSON form has the fields in the order of the message.
#[test]
fn fields_are_in_the_order_of_the_contract() {
    let mut expected: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for row in CONTRACT
        .lines()
        .map(|row| row.split('\t').collect::<Vec<_>>())
    {
        if row[2] == "field" {
            expected.entry(row[3].to_owned()).or_default().push(row[4]);
        }
    }
    let files = files();
    let messages = files.values().flat_map(|file| file.messages());
    let mut checked = 0;
    for message in messages.filter(|message| message.fields().count() > 0) {
        let names: Vec<String> = message
            .fields()
            .map(|field| field.name().to_owned())
            .collect();
        assert_eq!(
            names,
            expected[message.full_name()],
            "{}",
            message.full_name()
        );
        checked += 1;
    }
    assert_eq!(checked, expected.len());
}

/// The column of the JSON names is empty, so it must be known that another name would be seen.
#[test]
fn a_json_name_of_its_own_would_be_seen() {
    for (name, json_name) in [
        ("container_id", "containerId"),
        ("OOMScoreAdj", "OOMScoreAdj"),
        ("a__b_1c_", "aB1c"),
        ("_a", "A"),
    ] {
        assert_eq!(default_json_name(name), json_name);
    }
    let mut file = protocols::types::file_descriptor().proto().clone();
    let rows = |file: &FileDescriptorProto| {
        let mut rows = BTreeSet::new();
        Rows {
            file,
            rows: &mut rows,
        }
        .file();
        rows
    };
    let before = rows(&file);
    file.message_type[0].field[0].set_json_name("other".to_owned());
    let after = rows(&file);
    let changed: Vec<_> = after.difference(&before).collect();
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].split('\t').nth(8), Some("other"));
}

#[test]
fn message_names_are_bare() {
    use protobuf::{Message, MessageDyn};
    let request = protocols::agent::CreateContainerRequest::new();
    let message: &dyn MessageDyn = &request;
    assert_eq!(message.descriptor_dyn().name(), "CreateContainerRequest");
    assert_eq!(
        message.descriptor_dyn().full_name(),
        "grpc.CreateContainerRequest"
    );
    assert_eq!(
        protocols::agent::CreateContainerRequest::NAME,
        "CreateContainerRequest"
    );
}

#[test]
fn empty_is_a_type_of_this_crate() {
    use std::any::TypeId;
    assert_ne!(
        TypeId::of::<protocols::empty::Empty>(),
        TypeId::of::<protobuf::well_known_types::empty::Empty>()
    );
}

/// Collects the rows of one file.
struct Rows<'a> {
    file: &'a FileDescriptorProto,
    rows: &'a mut BTreeSet<String>,
}

impl Rows<'_> {
    fn file(&mut self) {
        let file = self.file;
        let syntax = if file.syntax() == "proto3" {
            "proto3"
        } else {
            "proto2"
        };
        let mut options = format!("syntax={syntax}");
        if file.options.has_go_package() {
            options.push_str(&format!(";go_package={}", file.options.go_package()));
        }
        self.add(["file", "", file.name(), "", "", "", "", &options]);
        for message in &file.message_type {
            self.message(file.package(), message);
        }
        for declaration in &file.enum_type {
            self.enumeration(file.package(), declaration);
        }
        for service in &file.service {
            self.service(file.package(), service);
        }
        for field in &file.extension {
            self.field(
                "extension",
                field.extendee().trim_start_matches('.'),
                field,
                None,
            );
        }
    }

    fn message(&mut self, parent: &str, message: &DescriptorProto) {
        self.add(["message", parent, message.name(), "", "", "", "", "-"]);
        let path = format!("{parent}.{}", message.name());
        for field in &message.field {
            self.field("field", &path, field, Some(message));
        }
        for (index, oneof) in message.oneof_decl.iter().enumerate() {
            let members = message.field.iter().filter(|f| {
                f.has_oneof_index() && !f.proto3_optional() && f.oneof_index() == index as i32
            });
            if members.count() > 0 {
                self.add(["oneof", &path, oneof.name(), "", "", "", "", "-"]);
            }
        }
        for nested in message
            .nested_type
            .iter()
            .filter(|m| !m.options.map_entry())
        {
            self.message(&path, nested);
        }
        for declaration in &message.enum_type {
            self.enumeration(&path, declaration);
        }
        assert!(message.reserved_range.is_empty() && message.reserved_name.is_empty());
    }

    fn enumeration(&mut self, parent: &str, declaration: &EnumDescriptorProto) {
        let options = if declaration.options.allow_alias() {
            "allow_alias=true"
        } else {
            "-"
        };
        self.add(["enum", parent, declaration.name(), "", "", "", "", options]);
        let path = format!("{parent}.{}", declaration.name());
        for value in &declaration.value {
            let number = value.number().to_string();
            self.add(["enum_value", &path, value.name(), &number, "", "", "", "-"]);
        }
    }

    fn service(&mut self, parent: &str, service: &ServiceDescriptorProto) {
        self.add(["service", parent, service.name(), "", "", "", "", "-"]);
        let path = format!("{parent}.{}", service.name());
        for method in &service.method {
            let name = |name: &str| name.trim_start_matches('.').to_owned();
            let types = format!(
                "{} -> {}",
                name(method.input_type()),
                name(method.output_type())
            );
            let label = streaming(method);
            self.add(["method", &path, method.name(), "", &types, label, "", "-"]);
        }
    }

    fn field(
        &mut self,
        kind: &str,
        parent: &str,
        field: &FieldDescriptorProto,
        message: Option<&DescriptorProto>,
    ) {
        let entry = message.and_then(|message| map_entry(message, field));
        let (field_type, label) = match entry {
            Some([key, value]) => (
                format!("map<{},{}>", type_name(key), type_name(value)),
                "map".to_owned(),
            ),
            None => (type_name(field), self.label(field, message)),
        };
        let mut options = Vec::new();
        if field.options.deprecated() {
            options.push("deprecated=true".to_owned());
        }
        if field.options.has_packed() {
            options.push(format!("packed={}", field.options.packed()));
        }
        if options.is_empty() {
            options.push("-".to_owned());
        }
        let json_name = match field.json_name() {
            name if !field.has_json_name() || name == default_json_name(field.name()) => "",
            name => name,
        };
        self.add([
            kind,
            parent,
            field.name(),
            &field.number().to_string(),
            &field_type,
            &label,
            json_name,
            &options.join(";"),
        ]);
    }

    fn label(&self, field: &FieldDescriptorProto, message: Option<&DescriptorProto>) -> String {
        match field.label() {
            Label::LABEL_REPEATED => return "repeated".to_owned(),
            Label::LABEL_REQUIRED => return "required".to_owned(),
            Label::LABEL_OPTIONAL => {}
        }
        if field.proto3_optional() || self.file.syntax() != "proto3" {
            return "optional".to_owned();
        }
        match message {
            Some(message) if field.has_oneof_index() => {
                let oneof = &message.oneof_decl[field.oneof_index() as usize];
                format!("oneof:{}", oneof.name())
            }
            _ => "singular".to_owned(),
        }
    }

    /// Adds a row: the columns after the first two.
    fn add(&mut self, columns: [&str; 8]) {
        let (file, package) = (self.file.name(), self.file.package());
        let row = [&[file, package], &columns[..]].concat();
        assert!(self.rows.insert(row.join("\t")), "twice: {row:?}");
    }
}

/// The JSON name that a field has unless its declaration says another: no underscores, and the
/// letters after them in upper case.
fn default_json_name(name: &str) -> String {
    let mut parts = name.split('_');
    let mut json_name = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let mut letters = part.chars();
        json_name.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        json_name.push_str(letters.as_str());
    }
    json_name
}

fn streaming(method: &MethodDescriptorProto) -> &'static str {
    match (method.client_streaming(), method.server_streaming()) {
        (false, false) => "unary",
        (false, true) => "server_streaming",
        (true, false) => "client_streaming",
        (true, true) => "bidi_streaming",
    }
}

/// Key and value of a map field.
fn map_entry<'a>(
    message: &'a DescriptorProto,
    field: &FieldDescriptorProto,
) -> Option<[&'a FieldDescriptorProto; 2]> {
    let name = field.type_name().rsplit('.').next()?;
    let entry = message
        .nested_type
        .iter()
        .find(|nested| nested.options.map_entry() && nested.name() == name)?;
    Some([entry.field.first()?, entry.field.get(1)?])
}

fn type_name(field: &FieldDescriptorProto) -> String {
    let name = field.type_name().trim_start_matches('.');
    match field.type_() {
        Type::TYPE_MESSAGE => name.to_owned(),
        Type::TYPE_ENUM => format!("enum {name}"),
        scalar => format!("{scalar:?}")
            .trim_start_matches("TYPE_")
            .to_lowercase(),
    }
}
