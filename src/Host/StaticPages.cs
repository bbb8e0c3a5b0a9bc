using Microsoft.AspNetCore.StaticFiles;
using Microsoft.Extensions.FileProviders;
using Sluice.Modules.Catalog;
using Sluice.Platform.Http;

namespace Sluice.Host;

/// <summary>The shop's pages: static files, reachable under the addresses that people see.</summary>
internal static class StaticPages
{
    // Everything comes from this site, nothing runs inline. The API's docs page brings its own styles and is let be.
    private const string ContentSecurityPolicy =
        "default-src 'self'; img-src 'self' data:; style-src 'self'; script-src 'self'; connect-src 'self'; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

    private const string DocsContentSecurityPolicy =
        "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; connect-src 'self'; font-src 'self' data:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'";

    public static void Use(IApplicationBuilder app)
    {
        // Pictures may come from where the operator said, and from nowhere else.
        var hosts = app.ApplicationServices.GetRequiredService<CatalogOptions>().ImageHosts;
        var policy = ContentSecurityPolicy.Replace("img-src 'self'", string.Join(" https://", hosts.Prepend("img-src 'self'")), StringComparison.Ordinal);
        app.Use((context, next) => AddSecurityHeaders(context, next, policy));
        if (app.ApplicationServices.GetService<StorefrontFiles>() is not { } files)
        {
            return;
        }

        app.Use((context, next) => NotFoundAsync(context, next, files));
        app.Use((context, next) => PageAsync(context, next, files));
        app.UseStaticFiles(new StaticFileOptions
        {
            FileProvider = new PhysicalFileProvider(files.Folder),
            ContentTypeProvider = new FileExtensionContentTypeProvider(),
            OnPrepareResponse = file => file.Context.Response.Headers.CacheControl = file.Context.Items.ContainsKey(typeof(StorefrontFiles)) ? "public, max-age=31536000, immutable" : "no-cache",
        });
    }

    private static Task AddSecurityHeaders(HttpContext context, RequestDelegate next, string policy)
    {
        var headers = context.Response.Headers;
        headers.ContentSecurityPolicy = context.Request.Path.StartsWithSegments("/docs", StringComparison.Ordinal) ? DocsContentSecurityPolicy : policy;
        headers["Referrer-Policy"] = "same-origin";
        return next(context);
    }

    // People who follow a dead link get a page; programs get the problem that the edge makes of a bare 404.
    private static async Task NotFoundAsync(HttpContext context, RequestDelegate next, StorefrontFiles files)
    {
        await next(context);
        var (request, response) = (context.Request, context.Response);
        if (response is { StatusCode: 404, HasStarted: false, ContentType: null } && HttpMethods.IsGet(request.Method) &&
            !request.Path.StartsWithSegments("/v1", StringComparison.Ordinal) && request.Headers.Accept.ToString().Contains("text/html", StringComparison.OrdinalIgnoreCase))
        {
            var page = files.Page("404")!.Html;
            response.ContentType = "text/html; charset=utf-8";
            response.ContentLength = page.Length;
            response.Headers.CacheControl = "no-cache";
            await response.Body.WriteAsync(page, context.RequestAborted);
        }
    }

    // The addresses of pages that a script fills: /sales/{id}/certificate, /orders, /orders/{id}, /account. Scripts and styles: those of this build, whichever build is asked for.
    private static Task PageAsync(HttpContext context, RequestDelegate next, StorefrontFiles files)
    {
        if (!HttpMethods.IsGet(context.Request.Method) && !HttpMethods.IsHead(context.Request.Method))
        {
            return next(context);
        }

        var path = context.Request.Path.Value ?? "";
        var name = path.Split('/') switch
        {
            ["", "sales", { Length: > 0 }, "certificate"] => "certificate",
            ["", "orders"] => "orders",
            ["", "account"] => "account",
            ["", "orders", { Length: > 0 }] => "order",
            ["", { Length: > 5 } file] when file.EndsWith(".html", StringComparison.Ordinal) => file[..^5],
            _ => null,
        };
        if (name is not null && files.Page(name) is { } page)
        {
            return Versioned.Page(context, page).ExecuteAsync(context);
        }

        if (path.StartsWith("/assets/", StringComparison.Ordinal) && path.Split('/') is ["", "assets", { Length: 16 }, var asset])
        {
            context.Request.Path = "/assets/" + asset;
            if (path.StartsWith(files.Look.AssetsPrefix, StringComparison.Ordinal))
            {
                context.Items[typeof(StorefrontFiles)] = true;
            }
        }

        return next(context);
    }
}
