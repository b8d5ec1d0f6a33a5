//! Traces, sent to a collector by OTLP over HTTP, as the standard OTEL_ variables say.

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Layer;
use tracing_subscriber::registry::LookupSpan;

use crate::cli::output::complain;

/// The traces that are collected until this is dropped; then those that wait are sent.
#[derive(Debug)]
pub(in crate::cli) struct Traces(SdkTracerProvider);

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            complain(format_args!("the last traces could not be sent: {error}"));
        }
    }
}

/// A layer that collects spans. Where the environment names no collector there is none, so that nobody is asked who is not
/// there; the same where OTEL_SDK_DISABLED is true or OTEL_TRACES_EXPORTER is none.
#[allow(clippy::disallowed_methods)] // the OTEL_ variables are those of the library, which reads them too
pub(super) fn begin<S: Subscriber + for<'s> LookupSpan<'s>>() -> (Option<impl Layer<S>>, Option<Traces>) {
    let set =
        |name: &str| std::env::var_os(name).and_then(|text| text.into_string().ok()).filter(|text| !text.is_empty());
    let named =
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"].into_iter().any(|n| set(n).is_some());
    let off = set("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || set("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
    if !named || off {
        return (None, None);
    }
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            complain(format_args!("no traces are sent: {error}"));
            return (None, None);
        }
    };
    // OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES are looked at by the builder; a name of ours only where they are silent.
    let mut resource = Resource::builder();
    if set("OTEL_SERVICE_NAME").is_none()
        && !set("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|a| a.contains("service.name="))
    {
        resource = resource.with_service_name("workspace-hygiene");
    }
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = provider.tracer("workspace-hygiene");
    let ours = Targets::new().with_target("workspace_hygiene", LevelFilter::DEBUG);
    (Some(tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours)), Some(Traces(provider)))
}
