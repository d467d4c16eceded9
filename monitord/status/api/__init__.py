"""The versioned HTTP API, its short forms and its OpenAPI document."""
