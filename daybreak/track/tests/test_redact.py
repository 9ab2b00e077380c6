"""One rule for what is a secret by its name, on names that programs and services really use."""

import json

import pytest

from daybreak.track.redact import REDACTED, looks_secret, redact, redact_argv, redact_text

SECRET = """
AWS_SECRET_ACCESS_KEY AWS_ACCESS_KEY_ID AWS_SESSION_TOKEN GITHUB_TOKEN GH_TOKEN GITLAB_TOKEN CI_JOB_TOKEN NPM_TOKEN
PYPI_TOKEN TWINE_PASSWORD HF_TOKEN HUGGING_FACE_HUB_TOKEN WANDB_API_KEY OPENAI_API_KEY ANTHROPIC_API_KEY COHERE_API_KEY
GOOGLE_API_KEY GOOGLE_APPLICATION_CREDENTIALS AZURE_CLIENT_SECRET AZURE_STORAGE_KEY AZURE_STORAGE_ACCOUNT_KEY
AZURE_STORAGE_CONNECTION_STRING DATABASE_PASSWORD DB_PASS DB_PASSWD MYSQL_PWD PGPASSWORD POSTGRES_PASSWORD REDIS_PASSWORD
MONGO_INITDB_ROOT_PASSWORD SMTP_PASSWORD EMAIL_HOST_PASSWORD SECRET_KEY DJANGO_SECRET_KEY FLASK_SECRET_KEY JWT_SECRET
JWT_SECRET_KEY SLACK_BOT_TOKEN SLACK_WEBHOOK_URL SLACK_SIGNING_SECRET DISCORD_TOKEN TELEGRAM_BOT_TOKEN TWILIO_AUTH_TOKEN
STRIPE_SECRET_KEY STRIPE_API_KEY SENDGRID_API_KEY DATADOG_API_KEY DD_APP_KEY NEW_RELIC_LICENSE_KEY SENTRY_AUTH_TOKEN
SNOWFLAKE_PASSWORD DATABRICKS_TOKEN MLFLOW_TRACKING_PASSWORD MLFLOW_TRACKING_TOKEN NEPTUNE_API_TOKEN COMET_API_KEY
CLEARML_API_SECRET_KEY KAGGLE_KEY VAULT_TOKEN CONSUL_HTTP_TOKEN DOCKER_PASSWORD HEROKU_API_KEY DIGITALOCEAN_ACCESS_TOKEN
CLOUDFLARE_API_TOKEN FIREBASE_TOKEN RAY_AUTH_TOKEN PINECONE_API_KEY password passwords user_passwords dbPassword db.password
passwd pwd passphrase key_passphrase secret secrets client_secret clientSecret consumer_secret webhook_secret totp_secret
private_key privateKey ssh_key ssh_private_key rsa_private_key signing_key encryption_key master_key hmac_key api_key
api_keys apiKey apiKeys apikey X-Api-Key x-api-keys access_key access_keys account_key service_account_key token auth_token
authToken auth_tokens bearer_token oauth_token oauth2_token refresh_token refresh_tokens access_token access_tokens id_token
csrf_token session_token user_token api_tokens credentials credential aws_credentials Authorization Proxy-Authorization auth
basic_auth http_auth auth_header cookie cookies session_cookie Set-Cookie jwt password_hash mnemonic seed_phrase
recovery_codes otp token_secret secrets.db_url config.credentials.user auth[0].value
""".split()

CLEAR = """
author authors authority authored_by author_name max_tokens min_tokens max_new_tokens num_tokens n_tokens total_tokens
prompt_tokens completion_tokens input_tokens output_tokens cached_tokens reasoning_tokens tokens_per_second tokens_per_batch
tokens_seen train_tokens token_budget token_count token_counts token_id token_ids token_limit token_len token_length
eos_token bos_token pad_token unk_token sep_token cls_token mask_token eos_token_id image_token_index image_token audio_token
video_token_id special_tokens additional_special_tokens added_tokens tokenizer tokenizer_name tokenization tokenizer_path
token_type_ids token_embeddings token_dim token_dropout next_token_loss token_accuracy per_token_loss num_image_tokens
vision_start_token_id boi_token_index decoder_start_token_id forced_bos_token_id suppress_tokens begin_suppress_tokens
stop_token start_token end_token register_tokens num_register_tokens token_merge token_mixing token_bucket token_rate key
keys key_dim num_keys key_size primary_key foreign_key sort_key cache_key partition_key key_padding_mask public_key monkey
keyboard keyword keywords hotkey keypoints secretary passenger passes num_passes pass_rate bypass compass pass_at_1 pinned
pin_memory password_length password_policy password_min_length secret_name api_key_env api_version api_url api_base
auth_method auth_type auth_url auth_enabled token_url token_endpoint token_ttl cookie_name cookie_domain access_level
session_id session_name seed seeds random_seed salt hash checksum PWD OLDPWD credit_score wandb_project basic_block
dataset.name model.hidden_size lr optimizer.weight_decay signature_path access_log bearing author.email compassion
password_file
""".split()


@pytest.mark.parametrize("name", SECRET)
def test_what_names_a_secret_is_kept_out(name):
    assert looks_secret(name)
    assert redact(name, "value") == REDACTED
    assert redact(name, True) is True and redact(name, None) is None


@pytest.mark.parametrize("name", CLEAR)
def test_what_only_looks_like_one_stays_clear(name):
    assert redact(name, "value") == "value"
    assert redact(name, 7) == 7
    assert redact_text(f"{name}=7") == f"{name}=7"


def test_there_are_a_hundred_names_either_way():
    assert len(set(SECRET)) >= 100 and len(set(CLEAR)) >= 100


def test_all_below_a_name_of_secrets_is_kept_out_and_its_form_stays():
    given = {
        "secrets": {"db": "hunter2", "deep": {"list": ["hunter2", {"x": "hunter2"}], "on": True}, "n": 3},
        "lr": 0.1,
    }
    kept = redact("config", given)
    assert "hunter2" not in json.dumps(kept)
    assert kept == {"secrets": {"db": REDACTED, "deep": {"list": REDACTED, "on": True}, "n": REDACTED}, "lr": 0.1}
    assert redact("runs", [{"api_keys": ["a", "b"]}]) == [{"api_keys": REDACTED}]
    assert redact("env", {"credentials": {"user": "me", "pass": "x"}}) == {
        "credentials": {"user": REDACTED, "pass": REDACTED}
    }


def test_counts_of_tokens_and_passes_are_numbers_and_texts_of_that_name_are_secrets():
    assert redact("tokens", 512) == 512 and redact("tokens", "ghp_x") == REDACTED
    assert redact("tokens", {"prod": "ghp_x", "seen": 5}) == {"prod": REDACTED, "seen": 5}
    assert redact("db", {"user": "me", "pass": "x"}) == {"user": "me", "pass": REDACTED} and redact("pass", 3) == 3
    assert redact_text("tokens: 5,123 pass: 2 tokens=ghp_x") == "tokens: 5,123 pass: 2 tokens=[redacted]"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("https://ghp_0123456789@github.com/me/x", "https://[redacted]@github.com/me/x"),
        ("git+https://oauth2:glpat-x@gitlab.com/a", "git+https://oauth2:[redacted]@gitlab.com/a"),
        ("https://ghp_0123456789abcdef0123:x-oauth-basic@github.com", "https://[redacted]:[redacted]@github.com"),
        ("redis://:pw@host:6379/0", "redis://:[redacted]@host:6379/0"),
        ("postgres://me:p@ss@host/db", "postgres://me:[redacted]@host/db"),
        ("ssh://git@github.com/me/x git@github.com:me/x", "ssh://git@github.com/me/x git@github.com:me/x"),
        ("postgresql://reader@host/db", "postgresql://reader@host/db"),
        ("https://medium.com/@user http://host:8080/a@b", "https://medium.com/@user http://host:8080/a@b"),
        ("GET /x?access_token=abc&page=2", "GET /x?access_token=[redacted]"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer [redacted]"),
        ("{'secrets': {'a': 'x y', 'b': ['z']}, 'lr': 1}", "{'secrets': [redacted], 'lr': 1}"),
        ('{"api_keys": ["a", "b"], "n": 1}', '{"api_keys": [redacted], "n": 1}'),
        ("password=None secret: null", "password=None secret: null"),
        ("loss: 0.1 token_budget=512 image_token_index: 3", "loss: 0.1 token_budget=512 image_token_index: 3"),
    ],
)
def test_printed_text_keeps_no_secret(text, kept):
    assert redact_text(text) == kept


def test_a_command_line_keeps_no_secret():
    given = ["x.py", "--api-keys", "a", "--token-budget", "512", "--repo=https://ghp_x@github.com/a", "--max-tokens=5"]
    assert redact_argv(given) == [
        "x.py", "--api-keys", REDACTED, "--token-budget", "512", "--repo=https://[redacted]@github.com/a", "--max-tokens=5",
    ]  # fmt: skip
