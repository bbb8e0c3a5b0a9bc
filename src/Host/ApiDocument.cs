using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;

namespace Sluice.Host;

/// <summary>The head of the OpenAPI document: what it is, and the two ways to say who calls.</summary>
internal static class ApiDocument
{
    public static void Describe(OpenApiOptions options) => options.AddDocumentTransformer((document, _, _) =>
    {
        document.Info = new OpenApiInfo
        {
            Title = "Sluice",
            Version = "v1",
            Description = "Flash sales that sell exactly what there is, keep what they accepted, and prove both. Problems are RFC 9457 with a stable `code`.",
        };
        document.Components ??= new OpenApiComponents();
        document.Components.SecuritySchemes = new Dictionary<string, IOpenApiSecurityScheme>(StringComparer.Ordinal)
        {
            ["userToken"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", BearerFormat = "JWT", Description = "A user's token from POST /v1/tokens" },
            ["apiKey"] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = "X-Api-Key", Description = "The shop's server; the key is in <data>/admin.key" },
        };
        return Task.CompletedTask;
    });
}
