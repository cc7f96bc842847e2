//! Comments of a `.proto` file, with the declarations they belong to.
//!
//! The rule is that of `protoc`: a comment belongs to a declaration when it ends on the line above
//! it, without an empty line between, or when it stands behind the `;` or `{` that ends the
//! declaration's head, on the same line. Both together make two paragraphs. Comments above the
//! `syntax` line belong to the file; a copyright notice there belongs to nothing.
//!
//! <https://protobuf.dev/reference/protobuf/proto3-spec/>

/// What a declaration declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Message,
    Field,
    Oneof,
    Enum,
    EnumValue,
    Service,
    Method,
    Extension,
}

/// A named thing in a `.proto` file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Declaration {
    pub(crate) kind: Kind,
    /// Package, enclosing declarations and name, with dots: `grpc.Health.Check`.
    pub(crate) path: String,
    /// Text of the comment without its delimiters; empty when there is none.
    pub(crate) comment: String,
    /// Line of the declaration, from 1.
    pub(crate) line: usize,
}

/// The comments of one file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Comments {
    /// Text about the file.
    pub(crate) file: String,
    /// Every declaration in the order of the file, with or without comment.
    pub(crate) declarations: Vec<Declaration>,
}

/// Reads the comments of the text of a `.proto` file.
///
/// # Errors
///
/// A text saying the line and what was expected, for a file that is not well formed.
pub(crate) fn read(text: &str) -> Result<Comments, String> {
    let lexed = lex(text)?;
    let mut reader = Reader {
        lexed: &lexed,
        next: 0,
        scope: Vec::new(),
        found: Comments::default(),
    };
    reader.file_comment();
    reader.body(Scope::File)?;
    Ok(reader.found)
}

struct Token<'a> {
    text: &'a str,
    line: usize,
}

struct Comment {
    text: String,
    first: usize,
    last: usize,
    /// Index of the token that follows.
    before: usize,
    /// Whether nothing but white space stands before it on its first line.
    alone: bool,
}

struct Lexed<'a> {
    tokens: Vec<Token<'a>>,
    comments: Vec<Comment>,
}

fn lex(text: &str) -> Result<Lexed<'_>, String> {
    let mut tokens: Vec<Token<'_>> = Vec::new();
    let mut comments = Vec::new();
    let mut rest = text;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            let end = rest.find("*/");
            end.ok_or_else(|| format!("line {line}: comment without end"))? + 2
        } else if first == '"' || first == '\'' {
            string_length(rest, first).ok_or_else(|| format!("line {line}: string without end"))?
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        let (piece, after) = rest.split_at(length);
        let lines = piece.matches('\n').count();
        if piece.starts_with("//") || piece.starts_with("/*") {
            comments.push(Comment {
                text: comment_text(piece),
                first: line,
                last: line + lines,
                before: tokens.len(),
                alone: tokens.last().is_none_or(|token| token.line != line),
            });
        } else if !first.is_whitespace() {
            tokens.push(Token { text: piece, line });
        }
        line += lines;
        rest = after;
    }
    Ok(Lexed { tokens, comments })
}

/// Names, numbers and qualified names are one token each.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '.'
}

fn string_length(text: &str, quote: char) -> Option<usize> {
    let mut escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(index + 1),
            _ => {}
        }
    }
    None
}

/// The text of one comment, without the delimiters and the margin.
fn comment_text(comment: &str) -> String {
    if let Some(line) = comment.strip_prefix("//") {
        let line = line.trim_start_matches('/');
        return line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned();
    }
    let inner = comment.trim_start_matches('/').trim_end_matches('/');
    let inner = inner.trim_start_matches('*').trim_end_matches('*');
    let lines: Vec<&str> = inner
        .lines()
        .map(|line| {
            let line = line.trim_end();
            match line.trim_start().strip_prefix('*') {
                Some(starred) => starred.strip_prefix(' ').unwrap_or(starred),
                None => line.trim_start(),
            }
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

#[derive(Clone, Copy, PartialEq)]
enum Scope {
    File,
    Message,
    Oneof,
    Enum,
    Service,
    Extend,
}

struct Reader<'a> {
    lexed: &'a Lexed<'a>,
    next: usize,
    /// The package and the enclosing declarations.
    scope: Vec<&'a str>,
    found: Comments,
}

impl<'a> Reader<'a> {
    fn file_comment(&mut self) {
        let mut paragraphs: Vec<String> = Vec::new();
        let mut last_line = 0;
        for comment in self.comments_before(0) {
            match paragraphs.last_mut() {
                Some(paragraph) if comment.first == last_line + 1 => {
                    paragraph.push('\n');
                    paragraph.push_str(&comment.text);
                }
                _ => paragraphs.push(comment.text.clone()),
            }
            last_line = comment.last;
        }
        paragraphs
            .retain(|p| !p.starts_with("Copyright") && !p.contains("SPDX-License-Identifier"));
        self.found.file = paragraphs.join("\n\n");
    }

    /// Reads declarations up to the end of the file or the `}` of `scope`.
    fn body(&mut self, scope: Scope) -> Result<(), String> {
        while let Some(word) = self.peek() {
            if word == "}" && scope != Scope::File {
                self.next += 1;
                return Ok(());
            }
            self.declaration(scope)?;
        }
        if scope == Scope::File {
            Ok(())
        } else {
            Err("end of file, expected `}`".to_owned())
        }
    }

    fn declaration(&mut self, scope: Scope) -> Result<(), String> {
        let start = self.next;
        let word = self.take("a declaration")?;
        // A field or an enum value may be called like a keyword; then no name follows.
        let opens_block = self.text(start + 2) == Some("{");
        match (scope, word) {
            (_, ";") => Ok(()),
            (Scope::File, "package") => {
                self.scope = vec![self.take("a package name")?];
                self.finish()
            }
            (Scope::File | Scope::Message, "message") if opens_block => {
                self.block(start, Kind::Message, Scope::Message)
            }
            (Scope::File | Scope::Message, "enum") if opens_block => {
                self.block(start, Kind::Enum, Scope::Enum)
            }
            (Scope::Message, "oneof") if opens_block => {
                self.block(start, Kind::Oneof, Scope::Oneof)
            }
            (Scope::File, "service") if opens_block => {
                self.block(start, Kind::Service, Scope::Service)
            }
            (Scope::File | Scope::Message, "extend") if opens_block => {
                self.next += 2;
                self.body(Scope::Extend)
            }
            (Scope::Service, "rpc") => {
                let name = self.take("a method name")?;
                let end = self.finish_at()?;
                self.declare(Kind::Method, name, start, end);
                Ok(())
            }
            (Scope::Enum, _) if self.peek() == Some("=") => {
                let end = self.finish_at()?;
                self.declare(Kind::EnumValue, word, start, end);
                Ok(())
            }
            (_, "syntax" | "edition" | "import" | "option" | "reserved" | "extensions") => {
                self.finish()
            }
            (Scope::Message | Scope::Oneof | Scope::Extend, _) => self.field(scope, start),
            _ => Err(format!(
                "line {}: `{word}` is not expected here",
                self.line(start)
            )),
        }
    }

    /// A declaration with a name and a body.
    fn block(&mut self, start: usize, kind: Kind, inner: Scope) -> Result<(), String> {
        let name = self.take("a name")?;
        let open = self.next;
        self.next += 1;
        self.declare(kind, name, start, open);
        // The members of a oneof are fields of the message.
        if kind == Kind::Oneof {
            return self.body(inner);
        }
        self.scope.push(name);
        self.body(inner)?;
        self.scope.pop();
        Ok(())
    }

    fn field(&mut self, scope: Scope, start: usize) -> Result<(), String> {
        while self.peek().is_some_and(|word| word != "=") {
            self.next += 1;
        }
        let name = self.text(self.next - 1).unwrap_or_default();
        let end = self.finish_at()?;
        let kind = if scope == Scope::Extend {
            Kind::Extension
        } else {
            Kind::Field
        };
        self.declare(kind, name, start, end);
        Ok(())
    }

    fn finish(&mut self) -> Result<(), String> {
        self.finish_at().map(|_| ())
    }

    /// Skips to the `;` of this statement, or to the `}` of its body; returns its index.
    fn finish_at(&mut self) -> Result<usize, String> {
        let mut depth = 0_usize;
        loop {
            let at = self.next;
            match self.take("`;`")? {
                "{" | "[" => depth += 1,
                "]" => depth = depth.saturating_sub(1),
                "}" if depth == 1 && self.peek() != Some(";") => return Ok(at),
                "}" => depth = depth.saturating_sub(1),
                ";" if depth == 0 => return Ok(at),
                _ => {}
            }
        }
    }

    fn declare(&mut self, kind: Kind, name: &str, start: usize, end: usize) {
        let mut path = self.scope.join(".");
        if !path.is_empty() {
            path.push('.');
        }
        path.push_str(name);
        let texts = [self.comment_above(start), self.comment_behind(end)];
        let texts = texts.into_iter().filter(|text| !text.trim().is_empty());
        self.found.declarations.push(Declaration {
            kind,
            path,
            comment: texts.collect::<Vec<_>>().join("\n\n"),
            line: self.line(start),
        });
    }

    fn comment_above(&self, token: usize) -> String {
        let mut line = self.line(token);
        let mut texts = Vec::new();
        for comment in self.comments_before(token).iter().rev() {
            if !comment.alone || (comment.last + 1 != line && comment.last != line) {
                break;
            }
            texts.push(comment.text.as_str());
            line = comment.first;
        }
        texts.reverse();
        texts.join("\n")
    }

    fn comment_behind(&self, token: usize) -> String {
        let line = self.line(token);
        match self.comments_before(token + 1).first() {
            Some(comment) if !comment.alone && comment.first == line => comment.text.clone(),
            _ => String::new(),
        }
    }

    /// The comments between the token and the one before it.
    fn comments_before(&self, token: usize) -> &'a [Comment] {
        let comments = &self.lexed.comments;
        let start = comments.partition_point(|comment| comment.before < token);
        let end = comments.partition_point(|comment| comment.before <= token);
        comments.get(start..end).unwrap_or_default()
    }

    fn take(&mut self, expected: &str) -> Result<&'a str, String> {
        let text = self
            .peek()
            .ok_or_else(|| format!("end of file, expected {expected}"))?;
        self.next += 1;
        Ok(text)
    }

    fn peek(&self) -> Option<&'a str> {
        self.text(self.next)
    }

    fn text(&self, index: usize) -> Option<&'a str> {
        self.lexed.tokens.get(index).map(|token| token.text)
    }

    fn line(&self, index: usize) -> usize {
        self.lexed.tokens.get(index).map_or(0, |token| token.line)
    }
}
