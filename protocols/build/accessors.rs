//! Documentation of what the message generator writes without asking for attributes: the functions
//! of a message, enum values, the members of a oneof and the field that holds a oneof.
//!
//! The generator's text is read line by line. Its own marks say what comes next: a comment
//! `// string container_id = 1;` before the functions of a field and
//! `// @@protoc_insertion_point(enum_value:…)` before an enum value. Every field must be met, and
//! every function be understood, or the build fails: a generator with other marks cannot leave
//! items undocumented silently.

use std::collections::BTreeMap;

use protobuf::descriptor::field_descriptor_proto::{Label, Type};
use protobuf::descriptor::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto};

use super::docs::{Docs, outer};

/// Adds the documentation to the generated `code` of `file`.
///
/// # Errors
///
/// A text naming the item that was not found or not understood.
pub(crate) fn document(
    code: &str,
    file: &FileDescriptorProto,
    docs: &Docs,
) -> Result<String, String> {
    let mut items = Items::default();
    for message in &file.message_type {
        items.add(message, file.package(), "");
    }
    let mut out = String::with_capacity(code.len() * 3 / 2);
    let mut place = Place::default();
    for line in code.lines() {
        // The documentation is complete, so the lint may watch over it.
        if line == "#![allow(missing_docs)]" {
            continue;
        }
        let text = line.trim_start();
        // Other lines hold nothing to document.
        if text.starts_with(['p', 'i', '/', '}']) {
            let indent = line.get(..line.len() - text.len()).unwrap_or_default();
            place.enter(text, indent.len());
            let lines = place.document(text, &mut items, docs)?;
            if !lines.is_empty() {
                out.push_str(&outer(&lines, indent));
            }
            place.leave(text, indent.len());
        }
        out.push_str(line);
        out.push('\n');
    }
    match items.missing() {
        Some(item) => Err(format!("the generated code has no functions for {item}")),
        None => Ok(out),
    }
}

/// The messages of a file by the place of their Rust type.
#[derive(Default)]
struct Items<'a> {
    messages: BTreeMap<String, Message<'a>>,
}

struct Message<'a> {
    path: String,
    descriptor: &'a DescriptorProto,
    /// Names of the fields, and of the oneofs with members, not yet met.
    expected: Vec<&'a str>,
}

impl<'a> Items<'a> {
    /// `modules`: the Rust modules around the type, each with `::` behind it.
    fn add(&mut self, message: &'a DescriptorProto, scope: &str, modules: &str) {
        let path = format!("{scope}.{}", message.name());
        let inner = format!("{modules}{}::", protobuf_parse::snake_case(message.name()));
        for nested in message
            .nested_type
            .iter()
            .filter(|m| !m.options.map_entry())
        {
            self.add(nested, &path, &inner);
        }
        let mut expected: Vec<&str> = message.field.iter().map(|f| f.name()).collect();
        expected.extend(
            message
                .field
                .iter()
                .filter_map(|field| oneof_of(message, field)),
        );
        expected.sort_unstable();
        expected.dedup();
        let name = format!("{modules}{}", message.name());
        self.messages.insert(
            name,
            Message {
                path,
                descriptor: message,
                expected,
            },
        );
    }

    fn missing(&self) -> Option<String> {
        self.messages.values().find_map(|message| {
            message
                .expected
                .first()
                .map(|name| format!("{}.{name}", message.path))
        })
    }
}

/// Name of the oneof that `field` is a member of, except the one that proto3 `optional` stands for.
fn oneof_of<'a>(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Option<&'a str> {
    if !field.has_oneof_index() || field.proto3_optional() {
        return None;
    }
    let index = usize::try_from(field.oneof_index()).ok()?;
    message.oneof_decl.get(index).map(|oneof| oneof.name())
}

/// Where in the generated code a line stands. Blocks are told by their indentation.
#[derive(Default)]
struct Place {
    /// Modules around the line, each with its indentation.
    modules: Vec<(usize, String)>,
    /// The `struct` or inherent `impl` around the line.
    block: Option<Block>,
}

struct Block {
    indent: usize,
    is_struct: bool,
    message: String,
    /// The field whose functions follow, and whether its first function was met.
    field: Option<(String, bool)>,
}

impl Place {
    fn enter(&mut self, text: &str, indent: usize) {
        let Some(head) = text.strip_suffix(" {") else {
            return;
        };
        if let Some(name) = head.strip_prefix("pub mod ") {
            self.modules.push((indent, name.to_owned()));
            return;
        }
        let (is_struct, name) = match (head.strip_prefix("pub struct "), head.strip_prefix("impl "))
        {
            (Some(name), _) => (true, name),
            (_, Some(name)) if !name.contains(' ') => (false, name),
            _ => return,
        };
        let modules: String = self
            .modules
            .iter()
            .map(|(_, name)| format!("{name}::"))
            .collect();
        self.block = Some(Block {
            indent,
            is_struct,
            message: format!("{modules}{name}"),
            field: None,
        });
    }

    fn leave(&mut self, text: &str, indent: usize) {
        if text != "}" {
            return;
        }
        if self
            .block
            .as_ref()
            .is_some_and(|block| block.indent == indent)
        {
            self.block = None;
        } else if self
            .modules
            .last()
            .is_some_and(|(module, _)| *module == indent)
        {
            self.modules.pop();
        }
    }

    /// The documentation that belongs above the line with this text.
    fn document(
        &mut self,
        text: &str,
        items: &mut Items<'_>,
        docs: &Docs,
    ) -> Result<Vec<String>, String> {
        if let Some(mark) = text.strip_prefix("// @@protoc_insertion_point(") {
            let path = ["enum_value:", "oneof_field:"]
                .iter()
                .find_map(|kind| mark.strip_prefix(kind));
            return Ok(path
                .map(|path| docs.lines(path.trim_end_matches(')')))
                .unwrap_or_default());
        }
        let Some(block) = &mut self.block else {
            return Ok(Vec::new());
        };
        let Some(message) = items.messages.get_mut(&block.message) else {
            return Ok(Vec::new());
        };
        if block.is_struct {
            return Ok(message.oneof(text, docs));
        }
        if let Some(name) = message.field_mark(text) {
            message.expected.retain(|expected| *expected != name);
            block.field = Some((name, false));
            return Ok(Vec::new());
        }
        let Some((function, _)) = text.strip_prefix("pub fn ").and_then(|f| f.split_once('('))
        else {
            return Ok(Vec::new());
        };
        match &mut block.field {
            None if function == "new" => Ok(vec![
                "Returns the message with every field at its default.".to_owned(),
            ]),
            None => Err(format!("{}: unknown function {function}", message.path)),
            Some((field, met)) => {
                let is_getter = !std::mem::replace(met, true);
                message.function(field, function, is_getter, docs)
            }
        }
    }
}

impl Message<'_> {
    /// The field that `// string container_id = 1;` announces.
    fn field_mark(&self, text: &str) -> Option<String> {
        let (declaration, number) = text
            .strip_prefix("// ")?
            .strip_suffix(';')?
            .rsplit_once(" = ")?;
        let number: i32 = number.parse().ok()?;
        let (_, name) = declaration.rsplit_once(' ')?;
        let fields = &self.descriptor.field;
        let field = fields
            .iter()
            .find(|field| field.name() == name && field.number() == number)?;
        Some(field.name().to_owned())
    }

    /// Documentation of the field that holds a oneof, if `text` is one.
    fn oneof(&mut self, text: &str, docs: &Docs) -> Vec<String> {
        let declaration = text
            .strip_prefix("pub ")
            .and_then(|text| text.split_once(": "));
        let Some((name, _)) = declaration else {
            return Vec::new();
        };
        if !self
            .descriptor
            .oneof_decl
            .iter()
            .any(|oneof| oneof.name() == name)
        {
            return Vec::new();
        }
        self.expected.retain(|expected| *expected != name);
        docs.lines(&format!("{}.{name}", self.path))
    }

    /// Documentation of `function`, one of the functions of the field `name`.
    fn function(
        &self,
        name: &str,
        function: &str,
        is_getter: bool,
        docs: &Docs,
    ) -> Result<Vec<String>, String> {
        let field = self
            .descriptor
            .field
            .iter()
            .find(|field| field.name() == name);
        let field = field.ok_or_else(|| format!("{}: unknown field {name}", self.path))?;
        let presence = Presence::of(self.descriptor, field);
        if is_getter {
            let summary = docs.summary(&format!("{}.{name}", self.path));
            return Ok(getter(name, summary, &presence));
        }
        let text = match function.split_once('_') {
            Some(("clear", _)) => match presence {
                Presence::Always | Presence::Enum => format!("Sets `{name}` to its default."),
                Presence::Oneof(oneof) => format!("Unsets `{oneof}`, whichever member is set."),
                Presence::Optional | Presence::Message => format!("Makes `{name}` absent."),
            },
            Some(("has", _)) => match presence {
                Presence::Oneof(oneof) => format!("Whether `{oneof}` is set to `{name}`."),
                _ => format!("Whether `{name}` is present."),
            },
            Some(("set", _)) => format!("Sets `{name}`."),
            Some(("mut", _)) => match presence {
                Presence::Always | Presence::Enum => format!("Gives write access to `{name}`."),
                _ => format!("Gives write access to `{name}`, first set to its default if absent."),
            },
            Some(("take", _)) => match presence {
                Presence::Always | Presence::Enum => {
                    format!("Moves `{name}` out and leaves its default.")
                }
                _ => format!("Moves `{name}` out, its default if absent, and leaves it absent."),
            },
            _ => return Err(format!("{}.{name}: unknown function {function}", self.path)),
        };
        Ok(vec![text])
    }
}

/// How a field tells that it is not there.
enum Presence<'a> {
    /// It has a default and no presence.
    Always,
    /// As `Always`; the number may be unknown.
    Enum,
    /// proto3 `optional`
    Optional,
    Message,
    /// Member of the named oneof.
    Oneof(&'a str),
}

impl<'a> Presence<'a> {
    fn of(message: &'a DescriptorProto, field: &FieldDescriptorProto) -> Self {
        match (oneof_of(message, field), field.type_()) {
            (Some(oneof), _) => Presence::Oneof(oneof),
            _ if field.label() == Label::LABEL_REPEATED => Presence::Always,
            (_, Type::TYPE_MESSAGE) => Presence::Message,
            _ if field.proto3_optional() => Presence::Optional,
            (_, Type::TYPE_ENUM) => Presence::Enum,
            _ => Presence::Always,
        }
    }
}

fn getter(name: &str, summary: String, presence: &Presence<'_>) -> Vec<String> {
    let note = match presence {
        Presence::Always => "",
        Presence::Enum => "; the first value if the number is unknown",
        Presence::Optional | Presence::Oneof(_) => "; the default of its type if not set",
        Presence::Message => "; the default message if absent",
    };
    let value = format!("The value of `{name}`{note}.");
    if summary.is_empty() {
        return vec![value];
    }
    vec![summary, String::new(), value]
}
