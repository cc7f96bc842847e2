//! What macros take, and what they are called with.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;

use super::text::text;

/// What each arm of a macro takes.
pub(crate) fn matchers(item: &syn::Macro) -> Vec<String> {
    let mut arms = Vec::new();
    let mut tokens = item.tokens.clone().into_iter();
    while let Some(matcher) = tokens.next() {
        arms.push(text(matcher.into_token_stream()));
        // `=> { … } ;`
        tokens
            .by_ref()
            .take_while(|token| token.to_string() != ";")
            .for_each(drop);
    }
    arms
}

/// What a macro is called with, split at semicolons.
pub(crate) fn parts(call: &syn::Macro) -> Vec<String> {
    let mut parts = vec![TokenStream::new()];
    let mut tokens = call.tokens.clone().into_iter().peekable();
    while let Some(token) = tokens.next() {
        let is_doc = |next: &TokenTree| next.to_string().starts_with("[doc");
        if token.to_string() == "#" && tokens.peek().is_some_and(is_doc) {
            tokens.next();
        } else if token.to_string() == ";" {
            parts.push(TokenStream::new());
        } else if let Some(part) = parts.last_mut() {
            part.extend([token]);
        }
    }
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.map(text).collect()
}
