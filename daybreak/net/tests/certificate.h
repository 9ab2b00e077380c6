// A certificate for localhost and its key, for tests alone: the key is public.
#pragma once

namespace daybreak::net {

inline constexpr const char* kTestCertificate =
    "-----BEGIN CERTIFICATE-----\n"
    "MIIBmzCCAUGgAwIBAgIUVT8wgJw9Wd9KigNfOtR5Lkwzi5gwCgYIKoZIzj0EAwIw\n"
    "FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyNDExNDczOFoYDzIxMjYxMDMx\n"
    "MTE0NzM4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
    "PQMBBwNCAATpxVf312E3I8jn0T3LE7e8ViX7As+MKkPJHU6I5Qqxz2OE/60o1iT8\n"
    "w+WEbpw25wqZDCajwVtwuNXWN08AnJ1xo28wbTAdBgNVHQ4EFgQUrFlr06kaopsp\n"
    "LvBrRGM28sZVazowHwYDVR0jBBgwFoAUrFlr06kaopspLvBrRGM28sZVazowDwYD\n"
    "VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI\n"
    "zj0EAwIDSAAwRQIhAPqxVZTvbZO9egw+t6p1hDnZbcC86k+Mq72Af+ZQfQb6AiAm\n"
    "pxycLU6Cvh/DWwUGfj67Xa4jss8XP09JU/JmADLZ8A==\n"
    "-----END CERTIFICATE-----\n";

inline constexpr const char* kTestKey =
    "-----BEGIN PRIVATE KEY-----\n"
    "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg7BNbD7CnAfrrMIV3\n"
    "lcOpHx50YUedXTQc+Oc0L6EjFZqhRANCAATpxVf312E3I8jn0T3LE7e8ViX7As+M\n"
    "KkPJHU6I5Qqxz2OE/60o1iT8w+WEbpw25wqZDCajwVtwuNXWN08AnJ1x\n"
    "-----END PRIVATE KEY-----\n";

}  // namespace daybreak::net
