//! What is written as one word: the form that it must have.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

/// A value that is written as text, or as a bare number.
macro_rules! written {
    ($name:ident, $($schema:tt)+) => {
        #[derive(Serialize)]
        pub(super) struct $name(Cow<'static, str>);
        impl From<&'static str> for $name {
            fn from(text: &'static str) -> Self {
                Self(text.into())
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}

written!(Span, { "type": ["string", "integer"], "pattern": "^([0-9]+|([0-9]+(ms|s|min|m|h|d|w))+)$", "minimum": 0 });
written!(Size, { "type": ["string", "integer"], "pattern": "^[0-9]+([kKmMgGtT]?[bB]?|[kKmMgGtT][iI][bB])$", "minimum": 0 });
written!(Limit, { "type": ["string", "integer"], "pattern": "^([0-9.]+%|[0-9]+)$", "minimum": 0 });
written!(Name, { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" });
written!(Host, { "type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:]{2,45})$" });
written!(User, { "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$" });
written!(Program, { "type": "string", "pattern": "^[A-Za-z0-9_+/][A-Za-z0-9._+/-]*$" });
written!(EnvName, { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$" });
written!(Memory, { "type": "string", "pattern": "^(infinity|[0-9]+[KMGT%]?)$" });
written!(Quota, { "type": "string", "pattern": "^[0-9]+%$" });
written!(Unit, { "type": "string", "pattern": "^[A-Za-z0-9:_@\\\\][A-Za-z0-9:_.@\\\\-]{0,254}$" });
written!(Text, { "type": "string", "minLength": 1 });
written!(Any, { "type": "string" });
