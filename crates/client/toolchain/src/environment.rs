//! Variables that change what a compiler finds or is.

/// Every variable that is part of the key of facts and of a fingerprint.
pub const ENVIRONMENT: [&str; 17] = [
    "CPATH",
    "C_INCLUDE_PATH",
    "CPLUS_INCLUDE_PATH",
    "OBJC_INCLUDE_PATH",
    "OBJCPLUS_INCLUDE_PATH",
    "GCC_EXEC_PREFIX",
    "COMPILER_PATH",
    "LIBRARY_PATH",
    "CCC_OVERRIDE_OPTIONS",
    "COLLECT_GCC",
    "COLLECT_GCC_OPTIONS",
    "GCC_SPECS",
    "SDKROOT",
    "MACOSX_DEPLOYMENT_TARGET",
    "CLANG_CONFIG_FILE_SYSTEM_DIR",
    "CLANG_CONFIG_FILE_USER_DIR",
    "PATH",
];
