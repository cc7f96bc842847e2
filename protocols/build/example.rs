//! The example in the documentation of a service: one call, from the client to the service and back.
//! It is compiled and run as a documentation test.

/// What the example is about: a service, and one method of it.
pub(crate) struct Example<'a> {
    pub(crate) is_async: bool,
    /// Module of the stubs.
    pub(crate) stubs: &'a str,
    pub(crate) service: &'a str,
    pub(crate) factory: &'a str,
    pub(crate) function: &'a str,
    /// Module and type name of the request.
    pub(crate) request: (&'a str, &'a str),
    /// Module and type name of the response.
    pub(crate) response: (&'a str, &'a str),
}

impl Example<'_> {
    /// Lines of rustdoc Markdown.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    fn text(&self) -> String {
        let Example {
            stubs,
            service,
            factory,
            function,
            ..
        } = self;
        let (request_module, request) = self.request;
        let (response_module, response) = self.response;
        let request = format!("{request_module}::{request}");
        let response = format!("{response_module}::{response}");
        let modules = match request_module == response_module {
            true => request_module.to_owned(),
            false => format!("{{{request_module}, {response_module}}}"),
        };
        let [types, attribute, prefix, runtime, wait, stop] = match self.is_async {
            false => [
                "use ttrpc::{Client, Server, TtrpcContext, context};",
                "",
                "",
                "",
                "",
                "",
            ],
            true => [
                "use ttrpc::context;\nuse ttrpc::r#async::{Client, Server, TtrpcContext};",
                "#[async_trait::async_trait]\n",
                "async ",
                "# #[tokio::main(flavor = \"current_thread\")]\n",
                ".await",
                ".await?",
            ],
        };
        format!(
            r#"```
use std::sync::Arc;

use protocols::{stubs}::{{{service}, {service}Client, {factory}}};
use protocols::{modules};
{types}

struct Example;

{attribute}impl {service} for Example {{
    {prefix}fn {function}(
        &self,
        _context: &TtrpcContext,
        _request: {request},
    ) -> ttrpc::Result<{response}> {{
        Ok({response}::new())
    }}
}}

{runtime}# {prefix}fn main() -> Result<(), Box<dyn std::error::Error>> {{
# let folder = tempfile::tempdir()?;
# let address = format!("unix://{{}}/socket", folder.path().display());
// let address = "unix:///run/example.sock"; or "vsock://3:1024"
let methods = {factory}(Arc::new(Example));
let mut server = Server::new().bind(&address)?.register_service(methods);
server.start(){wait}?;

let client = {service}Client::new(Client::connect(&address)?);
let limit = context::with_timeout(5_000_000_000); // nanoseconds
let response = client.{function}(limit, &{request}::new()){wait}?;
assert_eq!(response, {response}::new());
# server.shutdown(){stop};
# Ok(())
# }}
```"#
        )
    }
}
