//! Random messages, and damage to their bytes, from a number.

use protobuf::{
    MessageFull, UnknownValueRef,
    reflect::{MessageDescriptor, ReflectValueBox, RuntimeFieldType, RuntimeType},
};

/// SplitMix64: the same number always gives the same message.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(crate) fn one_in(&mut self, end: usize) -> bool {
        self.below(end) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    /// Numbers where the field rules change.
    fn number(&mut self) -> u64 {
        let near = [0_u64, 1, 8, 1 << 16, 1 << 31, 1 << 32, 1 << 63];
        match self.below(4) {
            0 => self.next(),
            1 => 0,
            _ => near[self.below(near.len())]
                .wrapping_add(self.next() % 3)
                .wrapping_sub(1),
        }
    }
}

const NAMES: &[(&[&str], &[&str])] = &[
    (
        &["Action", "DefaultAction"],
        &["SCMP_ACT_KILL", "SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW"],
    ),
    (&["Op"], &["SCMP_CMP_NE", "SCMP_CMP_MASKED_EQ"]),
    (
        &["Architectures"],
        &["SCMP_ARCH_X86_64", "SCMP_ARCH_MIPS64N32"],
    ),
    (
        &["Flags"],
        &["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"],
    ),
    (
        &[
            "Bounding",
            "Effective",
            "Inheritable",
            "Permitted",
            "Ambient",
        ],
        &[
            "KILL",
            "CAP_KILL",
            "\"CAP_MKNOD\"",
            "SYS_ADMIN",
            "\"\\u0043AP_BPF\"",
        ],
    ),
];

const TYPES: &[(&str, &[&str])] = &[
    ("LinuxNamespace", &["mnt", "mount", "net", "pid", "time"]),
    ("LinuxDevice", &["a", "b", "c", "u", "p"]),
    ("LinuxDeviceCgroup", &["", "a", "b"]),
    ("POSIXRlimit", &["RLIMIT_CPU", "RLIMIT_NOFILE"]),
];

const ODD: &[&str] = &[
    "",
    "x",
    "\"",
    "\"\"",
    "\"CAP_X\"",
    "CAP_",
    "[1]",
    "\u{FFFD}",
    "a\0b",
    "é",
];

/// The names that suit the field, if it holds names.
fn names(message: &str, field: &str) -> Option<&'static [&'static str]> {
    let types = TYPES
        .iter()
        .find(|(of, _)| field == "Type" && *of == message);
    let names = NAMES.iter().find(|(fields, _)| fields.contains(&field));
    types
        .map(|(_, names)| *names)
        .or(names.map(|(_, names)| *names))
}

/// A text that mostly suits the field.
fn text(random: &mut Random, message: &str, field: &str) -> String {
    match names(message, field) {
        Some(names) if !random.one_in(60) => random.pick(names).to_string(),
        _ => random.pick(ODD).to_string(),
    }
}

/// A random message of type `M`.
pub(crate) fn message<M: MessageFull>(random: &mut Random) -> M {
    let mut message = M::new();
    fill(random, &M::descriptor(), &mut message);
    if random.one_in(4) {
        let fields = message.mut_unknown_fields();
        fields.add_varint(1000, random.next());
        assert!(matches!(fields.get(1000), Some(UnknownValueRef::Varint(_))));
    }
    message
}

fn fill(random: &mut Random, of: &MessageDescriptor, message: &mut dyn protobuf::MessageDyn) {
    for field in of.fields() {
        // A name that is missing is an unknown name.
        let left_out = if names(of.name(), field.name()).is_some() {
            50
        } else {
            3
        };
        if random.one_in(left_out) {
            continue;
        }
        match field.runtime_field_type() {
            RuntimeFieldType::Singular(typ) => {
                let value = value(random, of.name(), field.name(), &typ);
                field.set_singular_field(message, value);
            }
            RuntimeFieldType::Repeated(typ) => {
                for _ in 0..random.below(3) {
                    let value = value(random, of.name(), field.name(), &typ);
                    field.mut_repeated(message).push(value);
                }
            }
            RuntimeFieldType::Map(keys, values) => {
                for _ in 0..random.below(3) {
                    let key = value(random, of.name(), field.name(), &keys);
                    let value = value(random, of.name(), field.name(), &values);
                    field.mut_map(message).insert(key, value);
                }
            }
        }
    }
}

fn value(random: &mut Random, message: &str, field: &str, typ: &RuntimeType) -> ReflectValueBox {
    match typ {
        RuntimeType::U32 => ReflectValueBox::U32(random.number() as u32),
        RuntimeType::U64 => ReflectValueBox::U64(random.number()),
        RuntimeType::I64 => ReflectValueBox::I64(random.number() as i64),
        RuntimeType::Bool => ReflectValueBox::Bool(random.one_in(2)),
        RuntimeType::String => ReflectValueBox::String(text(random, message, field)),
        RuntimeType::Message(descriptor) => {
            let mut message = descriptor.new_instance();
            fill(random, descriptor, &mut *message);
            ReflectValueBox::Message(message)
        }
        other => panic!("no field of a specification is {other}"),
    }
}

/// Damages the bytes: changes, cuts, doubles or inserts some.
pub(crate) fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[at] = random.next() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => {
                let end = (at + random.below(16)).min(bytes.len());
                let part: Vec<u8> = bytes[at..end].to_vec();
                let to = random.below(bytes.len());
                bytes.splice(to..to, part);
            }
            _ if random.one_in(8) => bytes.truncate(at),
            _ => bytes.insert(at, random.next() as u8),
        }
    }
}
