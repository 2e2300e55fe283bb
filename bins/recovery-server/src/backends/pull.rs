//! Fetching a model with the server of language models that serves, as an operation.

use recovery_core::{Actor, Operation, OperationId, OperationKind, Problem, port::Cancelled};
use recovery_inference::lifecycle::ModelName;

use crate::{
    actions::to_value,
    app::App,
    operations::{Failure, NewOperation},
    redact::Redactor,
    view::ModelPulled,
};

impl App {
    /// Lets the server that serves fetch a model. Returns at once.
    ///
    /// # Errors
    /// None serves, it is being changed, or it fetches no models. Nothing has been begun then.
    pub(crate) async fn pull_model(&self, actor: Actor, model: ModelName) -> Result<Operation, Failure> {
        let puller = self
            .backends
            .lifecycle
            .puller()
            .map_err(|refusal| self.with_backend_change(Problem::from(refusal)))?;
        let target = Some(model.to_string());
        let new = NewOperation { id: OperationId::new(), kind: OperationKind::PullModel, actor, target };
        let environment = self.environment.clone();
        let work = move |context: std::sync::Arc<dyn recovery_core::port::OperationContext>| async move {
            let report = |progress| context.report(progress);
            let pulled = tokio::select! {
                pulled = puller.pull(&model, &report) => pulled,
                // The server stops when nobody listens any more; what has come so far it keeps.
                () = context.cancelled() => return Err(Cancelled.into()),
            };
            match pulled {
                Ok(()) => {
                    to_value(ModelPulled { model: model.to_string(), server: puller.label().to_owned() })
                }
                Err(problem) => {
                    // It says what the server said, which may be anything.
                    let document = environment.document().await.ok();
                    let redactor = Redactor::of(document.as_ref().map(|(document, _)| document), &[]);
                    Err(Problem { detail: redactor.redact(&problem.detail), ..problem }.into())
                }
            }
        };
        self.operations.start(new, work).await
    }
}
