using System.Net.Mime;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.OpenApi;
using Sluice.Platform.Http;

namespace Sluice.Host;

/// <summary>The OpenAPI document: what it is, who may call each route, and the bodies of routes that read theirs themselves.</summary>
internal static class ApiDocument
{
    private const string UserToken = "userToken", ApiKey = "apiKey";

    public static void Describe(OpenApiOptions options)
    {
        options.AddDocumentTransformer((document, _, _) =>
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
                [UserToken] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", BearerFormat = "JWT", Description = "A user's token from POST /v1/tokens" },
                [ApiKey] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = "X-Api-Key", Description = "The shop's server; the key is in <data>/admin.key" },
            };
            return Task.CompletedTask;
        });
        options.AddOperationTransformer(async (operation, context, cancel) =>
        {
            var metadata = context.Description.ActionDescriptor.EndpointMetadata;
            if (metadata.OfType<AccessRuleMetadata>().LastOrDefault() is { Rule: var rule })
            {
                // For everybody is said too, as an empty requirement: a route without any would be one that nobody thought about.
                operation.Security = rule switch
                {
                    AccessRule.Public => [new OpenApiSecurityRequirement()],
                    AccessRule.User => [By(UserToken)],
                    AccessRule.Server => [By(ApiKey)],
                    AccessRule.UserOrServer => [By(UserToken), By(ApiKey)],
                };
            }

            if (metadata.OfType<RequestBody>().LastOrDefault() is { } body)
            {
                operation.RequestBody = new OpenApiRequestBody
                {
                    Required = body.IsRequired,
                    Content = new Dictionary<string, OpenApiMediaType>(StringComparer.Ordinal)
                    {
                        [MediaTypeNames.Application.Json] = new() { Schema = await context.GetOrCreateSchemaAsync(body.Type, cancellationToken: cancel) },
                    },
                };
            }

            OpenApiSecurityRequirement By(string scheme) => new() { [new OpenApiSecuritySchemeReference(scheme, context.Document)] = [] };
        });
    }
}
