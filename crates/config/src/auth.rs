//! Keys of [`AuthConfig`]: who may do what.
//!
//! Java: `auth/…/auth/config/AuthConfig.java`.

use crate::macros::config;

config! {
    /// Who may do what.
    pub struct AuthConfig {
        /// Name of this configuration.
        pub config_name: String = "configName" => "", hidden, no_effect;
        /// Name of the cluster for users and rights.
        pub cluster_name: String = "clusterName" => "", hidden, no_effect;
        /// Folder of the users and rights.
        pub auth_config_path: String = "authConfigPath" => "", hidden, no_effect;
        /// Ask every request for a signature.
        pub authentication_enabled: bool = "authenticationEnabled" => false, hidden, no_effect;
        /// Java class that checks signatures.
        pub authentication_provider: String = "authenticationProvider" => "", hidden, no_effect;
        /// Java class that keeps users.
        pub authentication_metadata_provider: String = "authenticationMetadataProvider" => "", hidden, no_effect;
        /// Java class that decides when signatures are checked.
        pub authentication_strategy: String = "authenticationStrategy" => "", hidden, no_effect;
        /// Request codes that need no signature, separated by commas.
        pub authentication_whitelist: String = "authenticationWhitelist" => "", hidden, no_effect;
        /// First super user, as JSON.
        pub init_authentication_user: String = "initAuthenticationUser" => "", hidden, no_effect;
        /// Credentials of the broker's own requests, as JSON.
        pub inner_client_authentication_credentials: String = "innerClientAuthenticationCredentials" => "", hidden;
        /// Check the rights of every request.
        pub authorization_enabled: bool = "authorizationEnabled" => false, hidden, no_effect;
        /// Java class that checks rights.
        pub authorization_provider: String = "authorizationProvider" => "", hidden, no_effect;
        /// Java class that keeps rights.
        pub authorization_metadata_provider: String = "authorizationMetadataProvider" => "", hidden, no_effect;
        /// Java class that decides when rights are checked.
        pub authorization_strategy: String = "authorizationStrategy" => "", hidden, no_effect;
        /// Request codes that need no rights, separated by commas.
        pub authorization_whitelist: String = "authorizationWhitelist" => "", hidden, no_effect;
        /// Take over users and rights of plain_acl.yml.
        pub migrate_auth_from_v1_enabled: bool = "migrateAuthFromV1Enabled" => false, hidden, no_effect;
        /// Users in memory.
        pub user_cache_max_num: u32 = "userCacheMaxNum" => 1000, hidden, no_effect;
        /// Seconds after which an unused user leaves memory.
        pub user_cache_expired_second: u32 = "userCacheExpiredSecond" => 600, hidden, no_effect;
        /// Seconds after which a user is read again.
        pub user_cache_refresh_second: u32 = "userCacheRefreshSecond" => 60, hidden, no_effect;
        /// Rights in memory.
        pub acl_cache_max_num: u32 = "aclCacheMaxNum" => 1000, hidden, no_effect;
        /// Seconds after which unused rights leave memory.
        pub acl_cache_expired_second: u32 = "aclCacheExpiredSecond" => 600, hidden, no_effect;
        /// Seconds after which rights are read again.
        pub acl_cache_refresh_second: u32 = "aclCacheRefreshSecond" => 60, hidden, no_effect;
        /// Connections whose signature is remembered.
        pub stateful_authentication_cache_max_num: u32 = "statefulAuthenticationCacheMaxNum" => 10_000, hidden, no_effect;
        /// Seconds for which a signature is remembered.
        pub stateful_authentication_cache_expired_second: u32 = "statefulAuthenticationCacheExpiredSecond" => 60, hidden, no_effect;
        /// Connections whose rights are remembered.
        pub stateful_authorization_cache_max_num: u32 = "statefulAuthorizationCacheMaxNum" => 10_000, hidden, no_effect;
        /// Seconds for which rights are remembered.
        pub stateful_authorization_cache_expired_second: u32 = "statefulAuthorizationCacheExpiredSecond" => 60, hidden, no_effect;
    }
}
