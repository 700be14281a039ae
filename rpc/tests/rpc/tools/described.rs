//! The document of `rpc.discover`, to check requests, results and errors against it.

use serde_json::Value;
use tokio::sync::OnceCell;

use crate::tools::schema::check;
use crate::tools::web::Site;

/// The document, with checks.
pub(crate) struct Described(pub(crate) Value);

/// The document as the server returns it.
pub(crate) async fn described() -> &'static Described {
    static DESCRIBED: OnceCell<Described> = OnceCell::const_new();
    DESCRIBED.get_or_init(discover).await
}

/// The document, adapted to check printed examples: bytes may be shortened (`0x2fac…`), and every
/// field must be described.
pub(crate) async fn described_for_print() -> Described {
    let mut described = discover().await;
    for schema in described.0["components"]["schemas"].as_object_mut().unwrap().values_mut() {
        if let Some(pattern) = schema.get("pattern").and_then(Value::as_str) {
            schema["pattern"] = format!("{pattern}|^0x([0-9a-f]{{2}})+…$").into();
        }
        let composed = schema.get("oneOf").or(schema.get("anyOf")).is_some();
        if schema.get("properties").is_some() && !composed && schema.get("additionalProperties").is_none() {
            schema["additionalProperties"] = false.into();
        }
    }
    described
}

async fn discover() -> Described {
    let answer = Site::new().post(r#"{"jsonrpc":"2.0","id":1,"method":"rpc.discover"}"#).await;
    Described(answer.json()["result"].clone())
}

impl Described {
    fn method(&self, name: &str) -> Option<&Value> {
        self.0["methods"].as_array().unwrap().iter().find(|method| method["name"] == name)
    }

    /// Whether a parameter's schema accepts a value.
    pub(crate) fn takes(&self, method: &str, parameter: &str, value: &Value) -> bool {
        let mut params = self.method(method).unwrap()["params"].as_array().unwrap().iter();
        let described = params.find(|param| param["name"] == parameter).unwrap();
        check(&self.0, &described["schema"], value).is_ok()
    }

    /// Panics unless the description of the method allows the response.
    pub(crate) fn check_response(&self, name: &str, response: &Value) {
        let method = self.method(name);
        if let Some(error) = response.get("error") {
            self.check_error(error);
            let kind = error["data"]["kind"].as_str().unwrap();
            let reference = format!("#/components/errors/{kind}");
            let said = |method: &Value| {
                method["errors"].as_array().unwrap().iter().any(|error| error["$ref"] == reference.as_str())
            };
            assert!(method.is_none_or(said), "{name} is not said to fail like this: {error}");
            return;
        }
        let method = method.unwrap_or_else(|| panic!("{name} is not described"));
        check(&self.0, &method["result"]["schema"], &response["result"])
            .unwrap_or_else(|why| panic!("{name}: {why}: {response}"));
    }

    /// Panics unless the error has the common shape and a described kind.
    pub(crate) fn check_error(&self, error: &Value) {
        let components = &self.0["components"];
        check(&self.0, &components["schemas"]["ErrorData"], &error["data"])
            .unwrap_or_else(|why| panic!("{why}: {error}"));
        let listed = &components["errors"][error["data"]["kind"].as_str().unwrap()];
        assert_eq!(error["code"], listed["code"], "{error}");
        assert_eq!(error["data"]["retryable"], listed["data"]["retryable"], "{error}");
    }
}
