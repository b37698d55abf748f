//! Rules of the factory.

use connector_api::factory::{FactoryContext, Options, SinkFactory};

use super::simulated;
use crate::sink::FileSinkFactory;

#[test]
fn a_check_names_the_option_and_changes_nothing() {
    simulated(|fs, env| async move {
        fs.put("/base/file", b"x").unwrap();
        let before = fs.operations();
        let context = FactoryContext { env, base_dir: "/base".into() };
        let check = async |path: &str| {
            let values = serde_json::json!({ "path": path, "format": "lines" });
            let options = Options::new("sink", values.as_object().unwrap().clone());
            SinkFactory::<connector_api::MessageBatch>::create(&FileSinkFactory, &options, &context).unwrap();
            SinkFactory::<connector_api::MessageBatch>::check(&FileSinkFactory, &options, &context).await
        };
        check("new/deep").await.unwrap();
        check(".").await.unwrap();
        for path in ["file", "file/below"] {
            let error = check(path).await.unwrap_err();
            assert!(
                error.to_string().starts_with("option `sink.path`: /base/file is not a directory"),
                "{error}"
            );
        }
        assert_eq!(fs.operations(), before);
    });
}
