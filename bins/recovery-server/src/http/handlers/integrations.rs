//! Remote access and chats.

use actix_web::web::{Data, Json};

use crate::{
    app::App,
    view::{ChatIntegrations, RemoteAccess},
};

/// Whether the ways in from outside are configured, and how their containers stand.
#[utoipa::path(get, path = "/api/v1/recovery/remote-access/status", tag = "environment",
    responses((status = 200, body = RemoteAccess)))]
pub(crate) async fn remote_access(app: Data<App>) -> Json<RemoteAccess> {
    Json(app.remote_access().await)
}

/// Whether the chats are configured that the platform answers in, and how their container stands.
#[utoipa::path(get, path = "/api/v1/recovery/chat-integrations/status", tag = "environment",
    responses((status = 200, body = ChatIntegrations)))]
pub(crate) async fn chat_integrations(app: Data<App>) -> Json<ChatIntegrations> {
    Json(app.chat_integrations().await)
}
