//! The contract's types and linking code, generated from `wit/policy.wit`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the contract"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "everything",
    imports: {
        "wasmta:policy/dns": async | trappable,
        "wasmta:policy/kv": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
    additional_derives: [PartialEq, serde::Serialize, serde::Deserialize],
});
