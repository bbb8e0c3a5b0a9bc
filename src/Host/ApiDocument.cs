using System.ComponentModel.DataAnnotations;
using System.Net.Mime;
using System.Text.Json.Nodes;
using Microsoft.AspNetCore.OpenApi;
using Microsoft.AspNetCore.WebUtilities;
using Microsoft.OpenApi;
using Sluice.Platform.Http;

namespace Sluice.Host;

/// <summary>The OpenAPI document: what it is, who may call each route, what it reads by itself, and (with <see cref="ApiProblems"/>) how it refuses.</summary>
internal static class ApiDocument
{
    private const string UserToken = "userToken", ApiKey = "apiKey";

    private static readonly (string Name, string Says)[] Tags =
    [
        ("Accounts", "Register, log in, profile and addresses, for users that Sluice keeps."),
        ("Users", "Tokens for users that the shop keeps itself; guests of the demo."),
        ("Flash sales", "Make, open, pause, close and refill sales; look at them."),
        ("Claims", "Take units of a sale, and see what became of it."),
        ("Orders", "What a written claim is: paid, cancelled or expired."),
        ("Proof", "Signed certificates that count a sale."),
        ("Pools", "Sales from the inside, for the shop's servers."),
        ("Catalog", "Products, categories, lists and search: what everybody sees alike."),
        ("Stock", "Products that are bought outside of sales: how many there are, and whether they are sold."),
        ("Coupons", "Make templates and issue coupons; get them, redeem them at an order."),
        ("Rewards", "Daily check-ins, and the points that users collect and spend."),
        ("Health", "Whether a node runs and can take claims."),
    ];

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
                [UserToken] = new OpenApiSecurityScheme { Type = SecuritySchemeType.Http, Scheme = "bearer", BearerFormat = "JWT", Description = "A user's token from POST /v1/sessions or POST /v1/tokens" },
                [ApiKey] = new OpenApiSecurityScheme { Type = SecuritySchemeType.ApiKey, In = ParameterLocation.Header, Name = "X-Api-Key", Description = "The shop's server; the key is in <data>/admin.key" },
            };
            // In the order in which a shop meets them, not in which modules map their routes.
            document.Tags = Tags.Select(tag => new OpenApiTag { Name = tag.Name, Description = tag.Says }).ToHashSet();
            ApiProblems.AddSchema(document);
            return Task.CompletedTask;
        });
        options.AddSchemaTransformer((schema, context, _) =>
        {
            // Handlers check requests themselves and say which field is wrong, so every field may be missing as far as JSON goes. Which must be there is marked.
            if (context.JsonTypeInfo.Type.Name is var name && (name.EndsWith("Request", StringComparison.Ordinal) || name.EndsWith("Callback", StringComparison.Ordinal) || name.EndsWith("Lookup", StringComparison.Ordinal)))
            {
                schema.Required = context.JsonTypeInfo.Properties.Where(property => property.AttributeProvider?.IsDefined(typeof(RequiredAttribute), inherit: true) == true)
                    .Select(property => property.Name).ToHashSet(StringComparer.Ordinal);
            }

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

            ApiProblems.AddTo(operation, context);
            AddNotes(operation, metadata);

            OpenApiSecurityRequirement By(string scheme) => new() { [new OpenApiSecuritySchemeReference(scheme, context.Document)] = [] };
        });
    }

    // After the problems: a note may be about one of their answers.
    private static void AddNotes(OpenApiOperation operation, IList<object> metadata)
    {
        foreach (var input in metadata.OfType<InputNote>())
        {
            operation.Parameters ??= [];
            operation.Parameters.Add(new OpenApiParameter
            {
                Name = input.Name, In = input.IsHeader ? ParameterLocation.Header : ParameterLocation.Query, Description = input.Description,
                Schema = new OpenApiSchema { Type = JsonSchemaType.String }, Example = input.Example,
            });
        }

        foreach (var header in metadata.OfType<HeaderNote>())
        {
            // 304 has no body, so it is no type that a route could produce.
            operation.Responses!.TryAdd($"{header.Status}", new OpenApiResponse { Description = ReasonPhrases.GetReasonPhrase(header.Status) });
            var response = (OpenApiResponse)operation.Responses[$"{header.Status}"];
            response.Headers ??= new Dictionary<string, IOpenApiHeader>(StringComparer.Ordinal);
            response.Headers[header.Name] = new OpenApiHeader { Description = header.Description, Schema = new OpenApiSchema { Type = JsonSchemaType.String } };
        }

        foreach (var example in metadata.OfType<ExampleNote>())
        {
            var content = example.Status is { } status ? operation.Responses![$"{status}"].Content! : operation.RequestBody!.Content!;
            var media = content.Values.First();
            media.Examples ??= new Dictionary<string, IOpenApiExample>(StringComparer.Ordinal);
            media.Examples[example.Name] = new OpenApiExample { Value = JsonNode.Parse(example.Json) };
        }
    }
}
