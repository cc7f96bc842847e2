//! ttrpc clients and service traits: one module per proto file and [`Flavour`].
//!
//! For a service `S` a module holds `SClient`, the trait `S` and the function `create_s`, in the
//! shape of `ttrpc-compiler` 0.8. Written here, from the same parse as the messages, they carry the
//! comments of the proto and need no second parser. The calls themselves are ttrpc's own macros.

use std::fmt::Write as _;

use protobuf::descriptor::{FileDescriptorProto, MethodDescriptorProto, ServiceDescriptorProto};

use super::docs::{Docs, outer};
use super::example::Example;

/// Blocking or async stubs.
pub(crate) struct Flavour {
    /// End of the module name: `agent` gives `agent_ttrpc`.
    pub(crate) suffix: &'static str,
    /// Feature of the crate that the module needs.
    pub(crate) feature: Option<&'static str>,
    /// What the documentation calls it.
    pub(crate) word: &'static str,
    /// Where ttrpc keeps the types of this flavour.
    ttrpc: &'static str,
    /// Before `fn`.
    fn_prefix: &'static str,
    /// Above every trait and implementation.
    attribute: &'static str,
    supertrait: &'static str,
}

/// Both flavours.
pub(crate) const FLAVOURS: &[Flavour] = &[
    Flavour {
        suffix: "_ttrpc",
        feature: None,
        word: "blocking",
        ttrpc: "::ttrpc",
        fn_prefix: "",
        attribute: "",
        supertrait: "",
    },
    Flavour {
        suffix: "_ttrpc_async",
        feature: Some("async"),
        word: "async",
        ttrpc: "::ttrpc::r#async",
        fn_prefix: "async ",
        attribute: "#[::async_trait::async_trait]\n",
        supertrait: ": Sync",
    },
];

/// The module with the stubs of the services of `file`; `all` holds the files it imports.
///
/// # Errors
///
/// A text naming the method that cannot be expressed.
pub(crate) fn generate(
    flavour: &Flavour,
    file: &FileDescriptorProto,
    all: &[FileDescriptorProto],
    docs: &Docs,
) -> Result<String, String> {
    let mut code = format!(
        "// @generated from `{}`\n\n\
         use std::collections::HashMap;\n\
         use std::sync::Arc;\n\n\
         use ::protobuf::{{CodedInputStream, CodedOutputStream, Message}};\n",
        file.name()
    );
    for service in &file.service {
        let service = Service::new(flavour, file, service, all, docs)?;
        code.push('\n');
        service.write_client(&mut code);
        service.write_handlers(&mut code);
        service.write_trait(&mut code);
        service.write_factory(&mut code);
    }
    Ok(code)
}

struct Service<'a> {
    flavour: &'a Flavour,
    /// Name of the module.
    module: String,
    name: &'a str,
    /// Name on the wire: `grpc.Health`.
    path: String,
    docs: Vec<String>,
    methods: Vec<Method<'a>>,
}

struct Method<'a> {
    /// Name on the wire.
    name: &'a str,
    function: String,
    /// Module and type name of the request.
    request: (String, String),
    /// Module and type name of the response.
    response: (String, String),
    docs: Vec<String>,
}

impl<'a> Service<'a> {
    fn new(
        flavour: &'a Flavour,
        file: &FileDescriptorProto,
        service: &'a ServiceDescriptorProto,
        all: &[FileDescriptorProto],
        docs: &Docs,
    ) -> Result<Self, String> {
        let path = format!("{}.{}", file.package(), service.name());
        let methods = service
            .method
            .iter()
            .map(|m| Method::new(&path, m, all, docs));
        Ok(Service {
            flavour,
            module: format!("{}{}", super::module_name(file.name()), flavour.suffix),
            name: service.name(),
            docs: docs.lines(&path),
            methods: methods.collect::<Result<_, _>>()?,
            path,
        })
    }

    fn write_client(&self, code: &mut String) {
        let Flavour { ttrpc, word, .. } = self.flavour;
        let name = self.name;
        code.push_str(&outer(&self.docs, ""));
        _ = write!(
            code,
            r#"///
/// This is the {word} client. Clones share one connection.
#[derive(Clone)]
pub struct {name}Client {{
    client: {ttrpc}::Client,
}}

impl {name}Client {{
    /// Returns a client of the service at the other end of a connection.
    pub fn new(client: {ttrpc}::Client) -> Self {{
        {name}Client {{ client }}
    }}
"#
        );
        for method in &self.methods {
            code.push('\n');
            method.write_call(self, code);
        }
        code.push_str("}\n");
    }

    fn write_trait(&self, code: &mut String) {
        let Flavour { ttrpc, word, .. } = self.flavour;
        let (attribute, supertrait) = (self.flavour.attribute, self.flavour.supertrait);
        let (name, factory) = (self.name, self.factory());
        code.push('\n');
        code.push_str(&outer(&self.docs, ""));
        _ = write!(
            code,
            r#"///
/// This is the {word} service; [`{factory}`] makes it known to a `{ttrpc}::Server`. A method
/// without an implementation answers with the status `NOT_FOUND`.
"#
        );
        code.push_str(&outer(&self.example(), ""));
        _ = writeln!(code, "{attribute}pub trait {name}{supertrait} {{");
        for (index, method) in self.methods.iter().enumerate() {
            if index > 0 {
                code.push('\n');
            }
            method.write_default(self, code);
        }
        code.push_str("}\n");
    }

    fn write_handlers(&self, code: &mut String) {
        let name = self.name;
        for method in &self.methods {
            let handler = self.handler(method);
            _ = write!(
                code,
                r#"
struct {handler} {{
    service: Arc<dyn {name} + Send + Sync>,
}}

"#
            );
            method.write_handler(self, code);
        }
    }

    fn write_factory(&self, code: &mut String) {
        let Flavour { ttrpc, .. } = self.flavour;
        let Service { name, path, .. } = self;
        let (factory, count) = (self.factory(), self.methods.len());
        let is_async = self.flavour.feature.is_some();
        let handler = format!("Box<dyn {ttrpc}::MethodHandler + Send + Sync>");
        let service = format!("{ttrpc}::Service");
        let value = if is_async { &service } else { &handler };
        _ = write!(
            code,
            r#"
/// Returns `service` in the form that `{ttrpc}::Server::register_service` takes.
pub fn {factory}(service: Arc<dyn {name} + Send + Sync>) -> HashMap<String, {value}> {{
    let mut methods: HashMap<String, {handler}> = HashMap::with_capacity({count});
"#
        );
        for method in &self.methods {
            let handler = self.handler(method);
            let key = if is_async {
                method.name.to_owned()
            } else {
                method.path(self)
            };
            _ = write!(
                code,
                r#"    let handler = {handler} {{ service: service.clone() }};
    methods.insert("{key}".to_owned(), Box::new(handler));
"#
            );
        }
        if is_async {
            _ = write!(
                code,
                r#"    let streams = HashMap::new();
    HashMap::from([("{path}".to_owned(), {service} {{ methods, streams }})])
"#
            );
        } else {
            code.push_str("    methods\n");
        }
        code.push_str("}\n");
    }

    /// The documentation's example, with the first method.
    fn example(&self) -> Vec<String> {
        let Some(method) = self.methods.first() else {
            return Vec::new();
        };
        let factory = self.factory();
        let example = Example {
            is_async: self.flavour.feature.is_some(),
            stubs: &self.module,
            service: self.name,
            factory: &factory,
            function: &method.function,
            request: names(&method.request),
            response: names(&method.response),
        };
        let blank = std::iter::once(String::new());
        blank.chain(example.lines()).collect()
    }

    /// Name of the private type that passes the calls of `method` on to the service.
    fn handler(&self, method: &Method<'_>) -> String {
        format!("{}{}Method", self.name, method.name)
    }

    fn factory(&self) -> String {
        format!("create_{}", snake_case(self.name))
    }
}

impl<'a> Method<'a> {
    fn new(
        service: &str,
        method: &'a MethodDescriptorProto,
        all: &[FileDescriptorProto],
        docs: &Docs,
    ) -> Result<Self, String> {
        let path = format!("{service}.{}", method.name());
        if method.client_streaming() || method.server_streaming() {
            return Err(format!("{path}: streaming methods have no stubs"));
        }
        let find = |name: &str| {
            find_message(name, all).ok_or_else(|| format!("{path}: message {name} not found"))
        };
        Ok(Method {
            name: method.name(),
            function: snake_case(method.name()),
            request: find(method.input_type())?,
            response: find(method.output_type())?,
            docs: docs.lines(&path),
        })
    }

    fn path(&self, service: &Service<'_>) -> String {
        format!("/{}/{}", service.path, self.name)
    }

    /// Rust path of the response.
    fn response(&self) -> String {
        let (module, response) = &self.response;
        format!("super::{module}::{response}")
    }

    fn write_call(&self, service: &Service<'_>, code: &mut String) {
        let Flavour { fn_prefix, .. } = service.flavour;
        let (name, function, path) = (self.name, &self.function, &service.path);
        let (response, (module, request)) = (self.response(), &self.request);
        // The macro of the async flavour returns by itself.
        let (call, result) = match fn_prefix.is_empty() {
            true => ("client_request", "        Ok(response)\n"),
            false => ("async_client_request", ""),
        };
        code.push_str(&outer(&self.docs, "    "));
        _ = write!(
            code,
            r#"    ///
    /// # Errors
    ///
    /// The service's status as [`RpcStatus`](::ttrpc::Error::RpcStatus); another error if the call
    /// failed on the way, or took longer than the limit in `ctx`.
    pub {fn_prefix}fn {function}(&self, ctx: ::ttrpc::context::Context, req: &super::{module}::{request}) -> ::ttrpc::Result<{response}> {{
        let mut response = {response}::new();
        ::ttrpc::{call}!(self, ctx, req, "{path}", "{name}", response);
{result}    }}
"#
        );
    }

    fn write_handler(&self, service: &Service<'_>, code: &mut String) {
        let Flavour {
            ttrpc,
            attribute,
            fn_prefix,
            ..
        } = service.flavour;
        let (handler, function) = (service.handler(self), &self.function);
        let (module, request) = &self.request;
        // The macro of the async flavour returns by itself, the other one sends the answer.
        let (call, output, result) = match fn_prefix.is_empty() {
            true => ("request_handler", "()", "        Ok(())\n"),
            false => ("async_request_handler", "::ttrpc::Response", ""),
        };
        _ = write!(
            code,
            r#"{attribute}impl {ttrpc}::MethodHandler for {handler} {{
    {fn_prefix}fn handler(&self, ctx: {ttrpc}::TtrpcContext, req: ::ttrpc::Request) -> ::ttrpc::Result<{output}> {{
        ::ttrpc::{call}!(self, ctx, req, {module}, {request}, {function});
{result}    }}
}}
"#
        );
    }

    fn write_default(&self, service: &Service<'_>, code: &mut String) {
        let Flavour {
            ttrpc, fn_prefix, ..
        } = service.flavour;
        let (function, path) = (&self.function, self.path(service));
        let (response, (module, request)) = (self.response(), &self.request);
        code.push_str(&outer(&self.docs, "    "));
        _ = write!(
            code,
            r#"    ///
    /// # Errors
    ///
    /// Unless implemented: status `NOT_FOUND` with the text `{path} is not supported`.
    {fn_prefix}fn {function}(&self, _ctx: &{ttrpc}::TtrpcContext, _: super::{module}::{request}) -> ::ttrpc::Result<{response}> {{
        let text = "{path} is not supported".to_owned();
        Err(::ttrpc::Error::RpcStatus(::ttrpc::get_status(::ttrpc::Code::NOT_FOUND, text)))
    }}
"#
        );
    }
}

fn names((module, name): &(String, String)) -> (&str, &str) {
    (module, name)
}

/// Module and type name of the message `.package.Name`.
fn find_message(name: &str, all: &[FileDescriptorProto]) -> Option<(String, String)> {
    let name = name.strip_prefix('.')?;
    all.iter().find_map(|file| {
        let message = name.strip_prefix(file.package())?.strip_prefix('.')?;
        let known = file.message_type.iter().any(|m| m.name() == message);
        known.then(|| (super::module_name(file.name()), message.to_owned()))
    })
}

/// `GetIPTables` as `get_ip_tables`.
pub(crate) fn snake_case(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (index, c) in chars.iter().enumerate() {
        let previous = index.checked_sub(1).and_then(|index| chars.get(index));
        let next_is_lower = chars.get(index + 1).is_some_and(char::is_ascii_lowercase);
        let starts_word = match previous {
            Some(previous) if previous.is_ascii_uppercase() => next_is_lower,
            Some(previous) => *previous != '_',
            None => false,
        };
        if c.is_ascii_uppercase() && starts_word {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
