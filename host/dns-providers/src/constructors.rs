//! Those of the library's constructors that want more than a few words.

use std::time::Duration;

use dns_update::providers::azuredns::{AzureDnsConfig, AzureEnvironment};
use dns_update::providers::bluecatv2::BluecatV2Config;
use dns_update::providers::edgedns::EdgeDnsConfig;
use dns_update::providers::google_cloud_dns::GoogleCloudDnsConfig;
use dns_update::providers::infoblox::InfobloxConfig;
use dns_update::providers::joker::JokerAuth;
use dns_update::providers::lightsail::LightsailConfig;
use dns_update::providers::oraclecloud::OracleCloudConfig;
use dns_update::providers::route53::Route53Config;
use dns_update::providers::volcengine::VolcengineConfig;
use dns_update::providers::yandexcloud::YandexCloudConfig;
use dns_update::{DnsUpdater as Up, Error, Result};

use crate::credentials::Credentials;
use crate::provider::CALL_TIMEOUT;

/// How long one request may take, as the library has it.
pub(crate) const CALL: Option<Duration> = Some(CALL_TIMEOUT);

pub(crate) fn azure(c: &Credentials) -> Result<Up> {
    // The library takes every word that it does not know for the public one.
    let environment = match c.optional("environment") {
        None | Some("public") => AzureEnvironment::Public,
        Some("china") => AzureEnvironment::China,
        Some("usgovernment") => AzureEnvironment::UsGovernment,
        Some(other) => return Err(Error::Parse(format!("environment {other:?} is none of Azure's"))),
    };
    Up::new_azuredns(AzureDnsConfig {
        tenant_id: c.owned("tenant-id"),
        client_id: c.owned("client-id"),
        client_secret: c.owned("client-secret"),
        subscription_id: c.owned("subscription-id"),
        resource_group: c.owned("resource-group"),
        environment,
        request_timeout: CALL,
    })
}

pub(crate) fn bluecat(c: &Credentials) -> Result<Up> {
    Up::new_bluecatv2(BluecatV2Config {
        server_url: c.owned("url"),
        username: c.owned("username"),
        password: c.owned("password"),
        config_name: c.owned("configuration"),
        view_name: c.owned("view"),
        skip_deploy: c.is_set("skip-deploy"),
        request_timeout: CALL,
    })
}

pub(crate) fn edgedns(c: &Credentials) -> Result<Up> {
    Up::new_edgedns(EdgeDnsConfig {
        host: c.owned("host"),
        client_token: c.owned("client-token"),
        client_secret: c.owned("client-secret"),
        access_token: c.owned("access-token"),
        account_switch_key: c.optional("account-switch-key").map(str::to_owned),
        request_timeout: CALL,
    })
}

pub(crate) fn google(c: &Credentials) -> Result<Up> {
    Up::new_google_cloud_dns(GoogleCloudDnsConfig {
        service_account_json: c.owned("service-account"),
        project_id: c.owned("project"),
        managed_zone: c.optional("managed-zone").map(str::to_owned),
        private_zone: c.is_set("private-zone"),
        impersonate_service_account: c.optional("impersonate").map(str::to_owned),
        request_timeout: CALL,
    })
}

pub(crate) fn infoblox(c: &Credentials) -> Result<Up> {
    Up::new_infoblox(InfobloxConfig {
        host: c.owned("host"),
        port: c.optional("port").map(str::to_owned),
        username: c.owned("username"),
        password: c.owned("password"),
        wapi_version: c.optional("wapi-version").map(str::to_owned),
        dns_view: c.optional("view").map(str::to_owned),
        request_timeout: CALL,
    })
}

pub(crate) fn lightsail(c: &Credentials) -> Result<Up> {
    Up::new_lightsail(LightsailConfig {
        access_key_id: c.owned("access-key"),
        secret_access_key: c.owned("secret-key"),
        session_token: c.optional("session-token").map(str::to_owned),
        region: c.optional("region").map(str::to_owned),
        domain: None,
        request_timeout: CALL,
    })
}

pub(crate) fn oraclecloud(c: &Credentials) -> Result<Up> {
    Up::new_oraclecloud(OracleCloudConfig {
        tenancy_ocid: c.owned("tenancy"),
        user_ocid: c.owned("user"),
        fingerprint: c.owned("fingerprint"),
        private_key_pem: c.owned("private-key"),
        private_key_password: None,
        region: c.owned("region"),
        compartment_ocid: c.owned("compartment"),
        request_timeout: CALL,
    })
}

pub(crate) fn route53(c: &Credentials) -> Result<Up> {
    Up::new_route53(Route53Config {
        access_key_id: c.owned("access-key"),
        secret_access_key: c.owned("secret-key"),
        session_token: c.optional("session-token").map(str::to_owned),
        region: c.optional("region").map(str::to_owned),
        hosted_zone_id: c.optional("hosted-zone").map(str::to_owned),
        private_zone_only: c.optional("private-zone").map(|word| word == "true"),
        endpoint: None,
    })
}

pub(crate) fn volcengine(c: &Credentials) -> Result<Up> {
    Up::new_volcengine(VolcengineConfig {
        access_key: c.owned("access-key"),
        secret_key: c.owned("secret-key"),
        region: c.optional("region").map(str::to_owned),
        host: None,
        scheme: None,
        request_timeout: CALL,
    })
}

pub(crate) fn yandexcloud(c: &Credentials) -> Result<Up> {
    Up::new_yandexcloud(YandexCloudConfig {
        iam_token_b64: c.owned("service-account-key"),
        folder_id: c.owned("folder-id"),
        request_timeout: CALL,
    })
}

pub(crate) fn joker(c: &Credentials) -> Result<Up> {
    let auth = match c.optional("api-key") {
        Some(key) => JokerAuth::api_key(key),
        None => JokerAuth::username_password(c.text("username"), c.text("password")),
    };
    Up::new_joker(auth, CALL)
}
